"""``events.schema.json``: the shape of every message of the Users Socket API."""

from __future__ import annotations

from users_server import __version__
from users_server.core.messages import JSON
from users_server.definitions.files import NOTICE, to_json
from users_server.definitions.messages import Message, Sender, client_messages, server_messages, shape_of
from users_server.definitions.shapes import DIALECT, JsonSchema, Shapes

PREFIX = "#/$defs/"


def events_schema() -> bytes:
    """The file. It accepts every message, sent or received; the unions among its definitions narrow that."""
    return to_json(
        {
            "$schema": DIALECT,
            "title": "Users Socket API",
            "description": f"Messages of users-server {__version__}, told apart by `eventType`. {NOTICE}",
            "anyOf": [_reference("ServerEvent"), _reference("TrustedClientEvent")],
            "$defs": definitions(),
        }
    )


def definitions() -> dict[str, JsonSchema]:
    """The unions, the messages in the order of the event table, and what these refer to."""
    shapes = Shapes(PREFIX)
    received, sent = server_messages(), client_messages()
    shaped = {message.name: shape_of(message, shapes) for message in [*received, *sent]}
    return {**_unions(received, sent), **shaped, **shapes.collected}


def _unions(received: list[Message], sent: list[Message]) -> dict[str, JsonSchema]:
    anybody = [message for message in sent if message.sender is Sender.CLIENT]
    return {
        "ServerEvent": _union("What a client may receive.", received),
        "ClientEvent": _union("What any client may send.", anybody),
        "TrustedClientEvent": _union("What a trusted connection may send.", sent),
    }


def _union(description: str, messages: list[Message]) -> JsonSchema:
    return {"description": description, "oneOf": [_reference(message.name) for message in messages]}


def _reference(name: str) -> dict[str, JSON]:
    return {"$ref": PREFIX + name}
