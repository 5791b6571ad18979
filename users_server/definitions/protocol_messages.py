"""``<protocol>.schema.json``: the shape of every message of one protocol, from the table that its folder exports."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence

from users_server import __version__
from users_server.core.messages import JSON
from users_server.definitions.files import NOTICE, to_json
from users_server.definitions.shapes import DIALECT, JsonSchema, SchemaClass, Shapes
from users_server.protocols.base import ProtocolFolder
from users_server.protocols.messages import Message, MessageTable

PREFIX = "#/$defs/"
SERVER_UNION, WHOLE_SERVER_UNION, CLIENT_UNION = "ServerMessage", "AnyServerMessage", "ClientMessage"


def messages_schema(folder: ProtocolFolder) -> bytes:
    """The file. It accepts every message, sent or received; the unions among its definitions narrow that."""
    table, defined = folder.messages, definitions(folder)
    unions = [WHOLE_SERVER_UNION if WHOLE_SERVER_UNION in defined else SERVER_UNION]
    if CLIENT_UNION in defined:
        unions.append(CLIENT_UNION)
    told = f"What the server sends is told apart by `{table.type_field}`."
    return to_json(
        {
            "$schema": DIALECT,
            "title": title(folder),
            "description": f"Messages of users-server {__version__}. {told} {NOTICE}",
            "anyOf": [{"$ref": PREFIX + union} for union in unions],
            "$defs": defined,
        }
    )


def title(folder: ProtocolFolder) -> str:
    return f"users-server: protocol {folder.name}"


def definitions(folder: ProtocolFolder) -> dict[str, JsonSchema]:
    """
    The unions, the messages in the order of the table, and what these refer to.

    Raises:
        ValueError: If two of them have one name.
    """
    unions = dict(_unions(folder.messages))
    return unions | message_definitions(folder, PREFIX, taken=unions)


def message_definitions(folder: ProtocolFolder, prefix: str, *, taken: dict[str, JSON]) -> dict[str, JsonSchema]:
    """The messages and what they refer to, by names of which none is ``taken``; references begin with ``prefix``."""
    table = folder.messages
    shapes = Shapes(prefix, name_of=_name_of)
    messages = [*table.server, *table.client]
    shaped = [(message.name, _shape_of(message, table, shapes)) for message in messages]
    shaped += shapes.collected.items()
    names = Counter([*taken, *(name for name, _ in shaped)])
    if twice := [name for name, count in names.items() if count > 1]:
        raise ValueError(f"Two definitions of {folder.name} would be called {', '.join(twice)}")
    return dict(shaped)


def _name_of(schema: SchemaClass) -> str:
    return schema.__name__.removesuffix("Output")


def _shape_of(message: Message, table: MessageTable, shapes: Shapes) -> JsonSchema:
    """The whole JSON object, with the type that the message's own schema leaves to the table."""
    fields = shapes.inline(message.schema)
    is_of_server = message in table.server
    told_by = {table.type_field: _type_of(message, table)} if is_of_server else {}
    sender = "Sent by the server." if is_of_server else "A client may send it."
    shape: JsonSchema = {
        "title": message.name,
        "description": f"{message.help}.\n\n{sender}",
        "type": "object",
        "properties": {**told_by, **fields["properties"]},
    }
    if required := [*told_by, *fields.get("required", [])]:
        shape["required"] = required
    return shape


def _type_of(message: Message, table: MessageTable) -> JsonSchema:
    if message.type is not None:
        return {"type": "string", "const": message.type}
    own = [line.type for line in table.server if line.type is not None]
    return {"description": "Any word but those of the protocol itself", "type": "string", "not": {"enum": own}}


def _unions(table: MessageTable) -> Iterator[tuple[str, JsonSchema]]:
    told_apart = [message for message in table.server if message.type is not None]
    yield SERVER_UNION, _union(f"What a client may receive, told apart by `{table.type_field}`.", told_apart)
    if len(told_apart) < len(table.server):
        about = f"The same, and what has a word of others for its `{table.type_field}`: all that a client may receive."
        yield WHOLE_SERVER_UNION, _union(about, table.server)
    if table.client:
        yield CLIENT_UNION, _union("What a client may send.", table.client)


def _union(description: str, messages: Sequence[Message]) -> JsonSchema:
    return {"description": description, "oneOf": [{"$ref": PREFIX + message.name} for message in messages]}
