"""``events.d.ts``: the messages of the Users Socket API for TypeScript, from ``events.schema.json``."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

from users_server import __version__
from users_server.definitions.events import definitions
from users_server.definitions.files import NOTICE
from users_server.definitions.messages import server_messages
from users_server.definitions.shapes import JsonSchema
from users_server.protocols.users.events import EVENTS

PREFIX = "Users"
"""Of every name: the DOM has an ``Event``, an ``ErrorEvent`` and a ``MessageEvent`` of its own."""

_IDENTIFIER = re.compile(r"[A-Za-z_$][A-Za-z0-9_$]*")
_TSDOC_SYNTAX = re.compile(r"[{}@<>]")
_SIMPLE_TYPES = {"string": "string", "integer": "number", "number": "number", "boolean": "boolean", "null": "null"}


def events_types() -> bytes:
    """The file: types only, so that nothing has to be there when the program runs."""
    blocks = [
        f"// Types of the Users Socket API of users-server {__version__}.\n// {NOTICE}\n",
        _event_types(),
        _server_events(),
        *(declaration(name, schema) for name, schema in definitions().items()),
    ]
    return "\n".join(blocks).encode()


def _event_types() -> str:
    members = "".join(member(event.name, str(event.type), event.help, is_required=True) for event in EVENTS)
    return (
        comment("The numbers of the events by their names.")
        + f"export interface {PREFIX}EventTypes {{\n{members}}}\n\n"
        + comment("The number of an event.")
        + f"export type {PREFIX}EventType = {PREFIX}EventTypes[keyof {PREFIX}EventTypes];\n"
    )


def _server_events() -> str:
    members = "".join(
        member(message.event.name, PREFIX + message.name, message.event.help, is_required=True)
        for message in server_messages()
    )
    return (
        comment("What a client may receive by the names of the events, for listeners by name.")
        + f"export interface {PREFIX}ServerEventMap {{\n{members}}}\n"
    )


def declaration(name: str, schema: JsonSchema, prefix: str = PREFIX) -> str:
    """The type of an object, or of a union of such."""
    about = comment(schema.get("description", ""))
    if "properties" not in schema:
        members = "".join(f"\n  | {type_of(alternative, prefix)}" for alternative in schema["oneOf"])
        return f"{about}export type {prefix}{name} ={members};\n"
    required = schema.get("required", [])
    members = "".join(
        member(key, type_of(value, prefix), value.get("description", ""), is_required=key in required)
        for key, value in schema["properties"].items()
    )
    return f"{about}export interface {prefix}{name} {{\n{members}}}\n"


def member(name: str, written_type: str, description: str, *, is_required: bool) -> str:
    """One line of an interface, with its comment."""
    key = name if _IDENTIFIER.fullmatch(name) else json.dumps(name)
    return f"{comment(description, '  ')}  {key}{'' if is_required else '?'}: {written_type};\n"


def type_of(schema: JsonSchema, prefix: str = PREFIX) -> str:
    """
    The type of a value that ``schema`` accepts; the names of others have the ``prefix``.

    Raises:
        ValueError: If it says more than this can write; a type that is too wide would go unnoticed.
    """
    return " | ".join(dict.fromkeys(_alternatives(schema, prefix)))


def _alternatives(schema: JsonSchema, prefix: str) -> Iterator[str]:
    if "$ref" in schema:
        yield prefix + schema["$ref"].rpartition("/")[2]
    elif "const" in schema or "enum" in schema:
        yield from (json.dumps(value) for value in schema.get("enum", [schema.get("const")]))
    elif "anyOf" in schema:
        for alternative in schema["anyOf"]:
            yield from _alternatives(alternative, prefix)
    elif "type" not in schema:
        yield "unknown"
    else:
        types = schema["type"]
        for name in [types] if isinstance(types, str) else types:
            yield _SIMPLE_TYPES.get(name) or _compound_type(name, schema, prefix)


def _compound_type(name: str, schema: JsonSchema, prefix: str) -> str:
    if name == "array":
        return f"Array<{type_of(schema['items'], prefix)}>"
    if name == "object" and isinstance(schema.get("additionalProperties"), dict):
        return f"Record<string, {type_of(schema['additionalProperties'], prefix)}>"
    raise ValueError(f"No TypeScript type is known for {schema}")


def comment(text: str, indent: str = "") -> str:
    """A TSDoc comment; nothing for no text."""
    if not text:
        return ""
    lines = _TSDOC_SYNTAX.sub(r"\\\g<0>", text).replace("*/", "*\\/").split("\n")
    if len(lines) == 1:
        return f"{indent}/** {lines[0]} */\n"
    body = "".join(f"{indent} * {line}".rstrip() + "\n" for line in lines)
    return f"{indent}/**\n{body}{indent} */\n"
