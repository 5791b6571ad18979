"""Accounts. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.queries import UsersQuery, VerboseQuery
from users_server.schemas.users import CreateUserInput, UserAnswer, UsersAnswer
from users_server.web.rest import users
from users_server.web.route import Route, Who

USERS = (
    Route(
        "GET",
        "/users",
        users.list_users,
        Who.LOGGED_IN,
        summary="List users",
        message="Found {count} users",
        tag="users",
        query=UsersQuery,
        answer=UsersAnswer,
        is_open_in_webinate=True,
    ),
    Route(
        "POST",
        "/users",
        users.create_user,
        Who.ADMIN,
        summary="Create a user, whose account is active at once",
        message="User {name} has been created",
        tag="users",
        request=CreateUserInput,
        answer=UserAnswer,
    ),
    Route(
        "GET",
        "/users/:user",
        users.get_user,
        Who.OWNER,
        summary="Get a user by username or email",
        message="Found {name}",
        tag="users",
        query=VerboseQuery,
        answer=UserAnswer,
    ),
    Route(
        "DELETE",
        "/users/:user",
        users.remove_user,
        Who.OWNER,
        summary="Remove a user",
        message="User {name} has been removed",
        tag="users",
    ),
    Route(
        "PUT",
        "/users/:user/approve-activation",
        users.approve_activation,
        Who.ADMIN,
        summary="Activate an account without its key",
        message="Activation code has been approved",
        tag="users",
    ),
)
