"""How a client says who it is, for both protocols."""

from __future__ import annotations

from users_server.core.messages import JSON
from users_server.services.app_key import APP_KEY_HEADER
from users_server.services.credentials import API_KEY_HEADER, SESSION_COOKIE
from users_server.services.tokens import EMIT_SCOPE
from users_server.web.route import Who

COOKIE, TOKEN, TOKEN_IN_QUERY, API_KEY = "cookie", "bearer", "token", "apiKey"
APP_KEY, APP_BASIC = "appApiKey", "appBasic"
TRUSTED = (API_KEY, TOKEN, TOKEN_IN_QUERY)
"""What can make a connection a trusted one."""

_ABOUT = {
    COOKIE: "The cookie that a login sets",
    TOKEN: f"A JWT, made by POST /tokens or `users-server token create`. With the scope {EMIT_SCOPE} it is trusted",
    TOKEN_IN_QUERY: "The same JWT, for browsers, whose WebSocket cannot set headers",
    APP_KEY: "The API key of the app in the path",
    APP_BASIC: "The app's id as the name, and its API key as the password",
    API_KEY: "The key `websocket.socketApiKey` of the configuration, for internal services, which are trusted",
}


def asyncapi_schemes() -> dict[str, JSON]:
    return {
        COOKIE: _parameter("httpApiKey", COOKIE, SESSION_COOKIE, "cookie"),
        TOKEN: _bearer(),
        TOKEN_IN_QUERY: _parameter("httpApiKey", TOKEN_IN_QUERY, "token", "query"),
        API_KEY: _parameter("httpApiKey", API_KEY, API_KEY_HEADER, "header"),
    }


def openapi_schemes() -> dict[str, JSON]:
    return {
        COOKIE: _parameter("apiKey", COOKIE, SESSION_COOKIE, "cookie"),
        TOKEN: _bearer(),
        API_KEY: _parameter("apiKey", API_KEY, API_KEY_HEADER, "header"),
        APP_KEY: _parameter("apiKey", APP_KEY, APP_KEY_HEADER, "header"),
        APP_BASIC: {"type": "http", "description": _ABOUT[APP_BASIC], "scheme": "basic"},
    }


def openapi_requirements(who: Who) -> list[dict[str, JSON]]:
    """The alternatives for a caller; an empty one means that none is needed."""
    known: list[dict[str, JSON]] = [{COOKIE: []}, {TOKEN: []}]
    by_who: dict[Who, list[dict[str, JSON]]] = {
        Who.ALL: [{}, *known],
        Who.LOGGED_IN: known,
        Who.OWNER: [*known, {API_KEY: []}],
        Who.ADMIN: known,
        Who.TRUSTED: [{API_KEY: []}, {TOKEN: [EMIT_SCOPE]}],
        Who.OPERATOR: [*known, {API_KEY: []}],
        Who.APP: [{APP_KEY: []}, {APP_BASIC: []}, *known, {API_KEY: []}],
    }
    return by_who[who]


def handshake() -> dict[str, JSON]:
    """Query and headers of the WebSocket handshake, for AsyncAPI's binding."""
    return {
        "query": _strings({"token": _ABOUT[TOKEN_IN_QUERY]}),
        "headers": _strings(
            {
                "Origin": "Must be approved, unless the API key is sent",
                "Cookie": f"`{SESSION_COOKIE}=…`. {_ABOUT[COOKIE]}",
                "Authorization": f"`Bearer …`. {_ABOUT[TOKEN]}",
                API_KEY_HEADER: _ABOUT[API_KEY],
            }
        ),
    }


def _parameter(kind: str, scheme: str, name: str, place: str) -> dict[str, JSON]:
    return {"type": kind, "description": _ABOUT[scheme], "name": name, "in": place}


def _bearer() -> dict[str, JSON]:
    return {"type": "http", "description": _ABOUT[TOKEN], "scheme": "bearer", "bearerFormat": "JWT"}


def _strings(descriptions: dict[str, str]) -> dict[str, JSON]:
    properties = {name: {"description": text, "type": "string"} for name, text in descriptions.items()}
    return {"type": "object", "properties": properties}
