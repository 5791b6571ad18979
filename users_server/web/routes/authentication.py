"""Who am I, log in, log out, and tokens. Rows of the route table."""

from __future__ import annotations

from dataclasses import replace

from users_server.schemas.queries import VerboseQuery
from users_server.schemas.tokens import TokenAnswer, TokenInput
from users_server.schemas.users import AuthenticationAnswer, LoginInput
from users_server.web.rest import authentication, tokens
from users_server.web.route import Route, Who

AUTHENTICATED = Route(
    "GET",
    "/authenticated",
    authentication.who_am_i,
    Who.ALL,
    summary="Tell who the caller is",
    message="User is authenticated",
    tag="authentication",
    query=VerboseQuery,
    answer=AuthenticationAnswer,
    failure={"authenticated": False},
)

AUTHENTICATION = (
    AUTHENTICATED,
    replace(AUTHENTICATED, path="/who-am-i"),
    Route(
        "POST",
        "/users/login",
        authentication.login,
        Who.ALL,
        summary="Log in and get the session cookie",
        message="User is authenticated",
        tag="authentication",
        request=LoginInput,
        answer=AuthenticationAnswer,
        failure={"authenticated": False},
    ),
    Route(
        "POST",
        "/logout",
        authentication.logout,
        Who.ALL,
        summary="End the session and clear its cookie",
        message="Successfully logged out",
        tag="authentication",
    ),
    Route(
        "GET",
        "/logout",
        authentication.logout,
        Who.ALL,
        summary="The same, for existing clients; POST is the better choice",
        message="Successfully logged out",
        tag="authentication",
        changes_state=True,
    ),
    Route(
        "POST",
        "/tokens",
        tokens.create_token,
        Who.LOGGED_IN,
        summary="Make a token for the caller, for sockets and for clients without cookies",
        message="Token has been created",
        tag="authentication",
        request=TokenInput,
        answer=TokenAnswer,
    ),
)
