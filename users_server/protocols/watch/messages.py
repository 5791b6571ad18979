"""Watching for the definitions: the table of messages, and the handshake."""

from __future__ import annotations

from users_server.protocols.messages import Credential, CredentialPlace, Message, MessageTable, message_name
from users_server.protocols.watch.errors import CLOSE_CODES
from users_server.protocols.watch.events import MESSAGES
from users_server.protocols.watch.schemas import WatchQuery
from users_server.services.app_key import APP_KEY_HEADER
from users_server.services.credentials import API_KEY_HEADER, SESSION_COOKIE

_ABOUT = """\
What is published in an app, live: for operators and internal services. The server sends one JSON object a text frame, \
told apart by `type`; a client sends nothing.

First of all comes `subscribed`; what comes later is everything from there on, each once and in the order of its \
channel."""

_CREDENTIALS = (
    Credential("appApiKey", CredentialPlace.HEADER, APP_KEY_HEADER, "The API key of the app: opens that app"),
    Credential("appBasic", CredentialPlace.BASIC, "", "The app's id as the name, and its API key as the password"),
    Credential("apiKey", CredentialPlace.HEADER, API_KEY_HEADER, "`websocket.socketApiKey`: opens every app"),
    Credential("cookie", CredentialPlace.COOKIE, SESSION_COOKIE, "The cookie of an admin's login: opens every app"),
    Credential("bearer", CredentialPlace.BEARER, "", "The JWT of an admin: opens every app"),
    Credential("token", CredentialPlace.QUERY, "token", "The same JWT, for who cannot set headers"),
)

MESSAGE_TABLE = MessageTable(
    about=_ABOUT,
    type_field="type",
    server=[Message(message_name(line.type), line.type, line.output, line.help) for line in MESSAGES],
    client=[],
    query=WatchQuery,
    parameters={},
    credentials=_CREDENTIALS,
    close_codes=CLOSE_CODES,
)
