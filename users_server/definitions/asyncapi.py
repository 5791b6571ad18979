"""``asyncapi.json``: the Users Socket API as AsyncAPI 3.0, from the event table."""

from __future__ import annotations

from collections.abc import Mapping

from users_server import __version__
from users_server.config import Config
from users_server.core.messages import JSON
from users_server.definitions import security
from users_server.definitions.files import NOTICE, to_json
from users_server.definitions.messages import Message, Sender, client_messages, server_messages, shape_of
from users_server.definitions.shapes import Shapes
from users_server.errors import Disconnect
from users_server.protocols.base import Direction
from users_server.protocols.users import handlers
from users_server.protocols.users.errors import CLOSE_CODES

CHANNEL = "users"
LICENSE: dict[str, JSON] = {"name": "MIT"}
_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_CHANNEL_MESSAGES = f"#/channels/{CHANNEL}/messages/"
_SECURITY = "#/components/securitySchemes/"

_ABOUT = f"""\
Typed events over WebSocket: one JSON object a text frame, told apart by `eventType`. A binary frame that carries \
UTF-8 JSON is accepted too.

The `Origin` of the handshake must be found by one of the patterns of `websocket.approvedSocketDomains`. A client may \
stay anonymous, or say who it is by one of the security schemes. Fields that an event does not have are ignored. A \
message that is refused is answered by an Error event to its sender alone; one that is larger than \
`websocket.maxMessageBytes` closes the connection with 1009.

{NOTICE}"""


def asyncapi() -> bytes:
    """The file."""
    shapes = Shapes(_SCHEMAS)
    received, sent = server_messages(), client_messages()
    schemas = {message.name: shape_of(message, shapes) for message in [*received, *sent]}
    return to_json(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": "Users Socket API",
                "version": __version__,
                "description": _ABOUT,
                "license": LICENSE,
            },
            "defaultContentType": "application/json",
            "servers": servers(list(security.asyncapi_schemes())),
            "channels": {CHANNEL: _channel([*received, *sent])},
            "operations": {
                **{f"send{message.name}": _sending(message) for message in received},
                **{f"receive{message.name}": _receiving(message, received) for message in sent},
            },
            "components": {
                "messages": {message.name: _message(message) for message in [*received, *sent]},
                "schemas": {**schemas, **shapes.collected},
                "securitySchemes": security.asyncapi_schemes(),
            },
        }
    )


def servers(credentials: list[str]) -> dict[str, JSON]:
    """The WebSocket API's port, with and without TLS, where each of the security schemes ``credentials`` opens."""
    config = Config()
    host = {
        "host": f"{{host}}:{config.websocket.port}",
        "variables": {"host": {"default": config.host, "description": "Where the server runs"}},
        "security": [{"$ref": _SECURITY + name} for name in credentials],
    }
    return {
        "plain": {**host, "protocol": "ws", "description": "Without TLS, as the example configuration has it"},
        "tls": {**host, "protocol": "wss", "description": "With the section tls of the configuration"},
    }


def _channel(messages: list[Message]) -> dict[str, JSON]:
    return {
        "address": Config().websocket.path,
        "title": "The socket",
        "description": "The one address of all events. Codes of closed connections:\n\n"
        + close_code_table(CLOSE_CODES),
        "servers": [{"$ref": "#/servers/plain"}, {"$ref": "#/servers/tls"}],
        "messages": {message.name: {"$ref": _MESSAGES + message.name} for message in messages},
        "bindings": {"ws": {"method": "GET", **security.handshake(), "bindingVersion": "0.1.0"}},
    }


def close_code_table(codes: Mapping[str, int]) -> str:
    """``codes``, reason to code, as a table in Markdown."""
    errors: list[type[Disconnect]] = [Disconnect, *Disconnect.__subclasses__()]
    messages = {error.reason: error.default_message for error in errors}
    rows = sorted((code, messages[reason]) for reason, code in codes.items())
    return "| code | reason |\n| --- | --- |\n" + "\n".join(f"| {code} | {message} |" for code, message in rows)


def _message(message: Message) -> dict[str, JSON]:
    return {
        "name": message.name,
        "title": message.event.name,
        "summary": f"{message.event.help}.",
        "payload": {"$ref": _SCHEMAS + message.name},
    }


def _sending(message: Message) -> dict[str, JSON]:
    return {
        "action": "send",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "summary": f"{message.event.help}.",
        "messages": [{"$ref": _CHANNEL_MESSAGES + message.name}],
    }


def _receiving(message: Message, received: list[Message]) -> dict[str, JSON]:
    answers = [answer for answer in received if _can_answer(answer, message)]
    operation = {
        "action": "receive",
        "channel": {"$ref": f"#/channels/{CHANNEL}"},
        "summary": f"{message.event.help}.",
        "description": message.sender.value,
        "messages": [{"$ref": _CHANNEL_MESSAGES + message.name}],
        "reply": {
            "channel": {"$ref": f"#/channels/{CHANNEL}"},
            "messages": [{"$ref": _CHANNEL_MESSAGES + answer.name} for answer in answers],
        },
    }
    if message.sender is Sender.TRUSTED:
        operation["security"] = [{"$ref": _SECURITY + name} for name in security.TRUSTED]
    return operation


def _can_answer(answer: Message, message: Message) -> bool:
    is_own = answer.event is message.event and message.event.direction is Direction.BOTH
    return is_own or answer.event.handler is handlers.refuse
