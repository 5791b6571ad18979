"""The client's side, for the command line: what it asks of a running server, and how it reads its events."""

from __future__ import annotations

import ssl
from collections.abc import AsyncGenerator, Mapping
from dataclasses import dataclass, field

import orjson
from tornado.httpclient import AsyncHTTPClient, HTTPError, HTTPRequest, HTTPResponse
from tornado.websocket import WebSocketClientConnection, WebSocketError, websocket_connect

from users_server.core.messages import JSON
from users_server.errors import BackendError, UsersServerError
from users_server.schemas.busiest import BusiestAnswer
from users_server.web.settings import TlsSettings

TIMEOUT_SECONDS = 10.0
NORMAL_CLOSURE = 1000


class ServerAway(BackendError):
    """Nothing answers, or it is no server of this kind."""

    reason = "server_away"
    default_message = "The server does not answer"


class ServerRefused(UsersServerError):
    """The server answered, and the answer is no. ``code`` is that of the close, where a socket was closed."""

    reason = "server_refused"
    default_message = "The server refused"

    def __init__(self, message: str | None = None, *, code: int | None = None) -> None:
        super().__init__(message)
        self.code = code


@dataclass(frozen=True, slots=True)
class Target:
    """A running server: a URL, what to send along, and for TLS whom to trust."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    trust: ssl.SSLContext | None = None


def trust_certificate(settings: TlsSettings) -> ssl.SSLContext | None:
    """
    A context that trusts the configured certificate and no other; :obj:`None` without TLS.

    The name is not checked: this is for talking to the own server, under whatever name it is reached from here.
    """
    if not settings.is_enabled:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_flags |= ssl.VerifyFlags.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(settings.certificate)
    return context


async def post_event(target: Target, event: Mapping[str, JSON]) -> None:
    """
    POST ``event`` to ``target``, the URL of ``/events`` or of an app's events. Returns when it was accepted.

    Raises:
        ServerAway: If nothing answers there.
        ServerRefused: With the server's own message.
    """
    await _ask(target, "POST", orjson.dumps(event))


async def get_busiest(target: Target) -> dict[str, JSON]:
    """
    GET the ``data`` of ``target``, the URL of ``/busiest``; of the shape that the schema of that route has.

    Raises:
        ServerAway: If nothing answers there, or a server of another version.
        ServerRefused: With the server's own message.
    """
    answer = await _ask(target, "GET")
    if BusiestAnswer().validate(answer):
        raise ServerAway(f"{target.url} answered as a users-server of another version does")
    data: dict[str, JSON] = answer["data"]
    return data


async def _ask(target: Target, method: str, body: bytes | None = None) -> dict[str, JSON]:
    request = HTTPRequest(
        target.url,
        method=method,
        body=body,
        headers={"Content-Type": "application/json", **target.headers},
        ssl_options=target.trust,
        connect_timeout=TIMEOUT_SECONDS,
        request_timeout=TIMEOUT_SECONDS,
    )
    client = AsyncHTTPClient(force_instance=True)
    try:
        response = await client.fetch(request, raise_error=False)
    except (OSError, HTTPError) as error:
        raise _away(target.url, error) from error
    finally:
        client.close()
    if isinstance(response.error, OSError) or response.code == 599:
        raise _away(target.url, response.error)
    return _check(response)


def _check(response: HTTPResponse) -> dict[str, JSON]:
    """
    The answer. Raises if it says no, by its status or, for a server in compatibility mode, by its field ``error``.
    """
    try:
        answer = orjson.loads(response.body)
    except orjson.JSONDecodeError:
        answer = None
    if not isinstance(answer, dict) or "error" not in answer:
        raise ServerAway(f"{response.effective_url} is no users-server: it answered {response.code} {response.reason}")
    if answer["error"]:
        details = f" {orjson.dumps(answer['errors']).decode()}" if answer.get("errors") else ""
        raise ServerRefused(f"{answer.get('message', 'The server refused')}{details} ({response.code})")
    return answer


async def read_events(target: Target) -> AsyncGenerator[str, None]:
    """
    Connect to the socket at ``target`` and yield each message as it came, until the server closes normally.

    Raises:
        ServerAway: If nothing answers there, or the connection broke.
        ServerRefused: If the server closed the connection; with its code and reason.
    """
    request = HTTPRequest(
        target.url, headers=dict(target.headers), ssl_options=target.trust, connect_timeout=TIMEOUT_SECONDS
    )
    try:
        socket = await websocket_connect(request)
    except (OSError, HTTPError, WebSocketError) as error:
        raise _away(target.url, error) from error
    try:
        while (message := await socket.read_message()) is not None:
            yield message if isinstance(message, str) else message.decode("utf-8", "replace")
        _check_close(socket)
    finally:
        socket.close()


def _check_close(socket: WebSocketClientConnection) -> None:
    if socket.close_code is None:
        raise ServerAway("The connection broke")
    if socket.close_code != NORMAL_CLOSURE:
        reason = socket.close_reason or "no reason given"
        raise ServerRefused(f"The server closed the connection: {reason} ({socket.close_code})", code=socket.close_code)


def _away(url: str, error: BaseException | None) -> ServerAway:
    if isinstance(error, ConnectionRefusedError):
        return ServerAway(f"Nothing listens at {url}; start it with: users-server serve")
    if isinstance(error, ssl.SSLCertVerificationError):
        return ServerAway(f"The certificate at {url} is not the one of the configuration")
    if isinstance(error, HTTPError):
        return ServerAway(f"{url} did not answer as a users-server does: {error.code} {error.message}")
    return ServerAway(f"No answer from {url}: {error}")
