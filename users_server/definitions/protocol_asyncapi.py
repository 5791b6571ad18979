"""
``<protocol>.asyncapi.json``: one protocol as AsyncAPI 3.0, from what its folder exports.

A file for each protocol: what is made from one, a client or a page of documentation, is for those who speak that
protocol, and an AsyncAPI document has one list of servers, whose security would be all protocols' at once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from users_server import __version__
from users_server.core.messages import JSON
from users_server.definitions.asyncapi import LICENSE, close_code_table, servers
from users_server.definitions.files import NOTICE, to_json
from users_server.definitions.protocol_messages import message_definitions, title
from users_server.definitions.shapes import JsonSchema, Shapes
from users_server.protocols.base import MountPoint, ProtocolFolder
from users_server.protocols.messages import Credential, CredentialPlace, Message, MessageTable

_SCHEMAS = "#/components/schemas/"
_MESSAGES = "#/components/messages/"
_API_KEYS = (CredentialPlace.QUERY, CredentialPlace.HEADER, CredentialPlace.COOKIE)


def protocol_asyncapi(folder: ProtocolFolder) -> bytes:
    """The file, for the paths that the protocol has by default."""
    table = folder.messages
    messages = [*table.server, *table.client]
    points = [point for point in folder.mount_points(folder.section.settings()) if not point.port]
    schemes = {credential.name: _scheme(credential) for credential in table.credentials}
    return to_json(
        {
            "asyncapi": "3.0.0",
            "info": {
                "title": title(folder),
                "version": __version__,
                "description": f"{table.about}\n\n{NOTICE}",
                "license": LICENSE,
            },
            "defaultContentType": "application/json",
            "servers": servers(list(schemes)),
            "channels": {_channel_name(folder, point): _channel(folder, point) for point in points},
            "operations": dict(_operation(folder, point, message) for point in points for message in messages),
            "components": {
                "messages": {message.name: _message(message) for message in messages},
                "schemas": draft_7(message_definitions(folder, _SCHEMAS, taken={})),
                "securitySchemes": schemes,
            },
        }
    )


def draft_7(schema: Any) -> Any:
    """``schema`` as AsyncAPI has it: draft 7 sees nothing beside a reference."""
    if isinstance(schema, list):
        return [draft_7(inner) for inner in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema and len(schema) > 1:
        beside = {key: value for key, value in schema.items() if key != "$ref"}
        return {**beside, "allOf": [{"$ref": schema["$ref"]}]}
    return {key: draft_7(inner) for key, inner in schema.items()}


def _parameters(point: MountPoint) -> list[str]:
    return [segment[1:] for segment in point.path.split("/") if segment.startswith(":")]


def _suffix(point: MountPoint) -> str:
    return "".join(f"Of{parameter.capitalize()}" for parameter in _parameters(point))


def _channel_name(folder: ProtocolFolder, point: MountPoint) -> str:
    return folder.name + _suffix(point)


def _channel(folder: ProtocolFolder, point: MountPoint) -> dict[str, JSON]:
    table, parameters = folder.messages, _parameters(point)
    messages = [*table.server, *table.client]
    path = "/".join(f"{{{segment[1:]}}}" if segment.startswith(":") else segment for segment in point.path.split("/"))
    channel: dict[str, JSON] = {
        "address": path,
        "title": folder.description,
        "description": "Codes of closed connections:\n\n" + close_code_table(table.close_codes),
        "servers": [{"$ref": "#/servers/plain"}, {"$ref": "#/servers/tls"}],
        "messages": {message.name: {"$ref": _MESSAGES + message.name} for message in messages},
    }
    if parameters:
        channel["parameters"] = {name: {"description": table.parameters[name]} for name in parameters}
    channel["bindings"] = {"ws": {"method": "GET", **_handshake(table), "bindingVersion": "0.1.0"}}
    return channel


def _handshake(table: MessageTable) -> dict[str, JSON]:
    """Query and headers, for AsyncAPI's binding."""
    query = Shapes(_SCHEMAS).inline(table.query)
    handshake: dict[str, JSON] = {
        "query": {key: query[key] for key in ("type", "properties", "required") if key in query}
    }
    headers: JsonSchema = {}
    for credential in table.credentials:
        name, text = _header(credential)
        if name:
            former = headers.get(name, {"description": "", "type": "string"})["description"]
            headers[name] = {"description": f"{former}. Or {text}" if former else text, "type": "string"}
    if headers:
        handshake["headers"] = {"type": "object", "properties": headers}
    return handshake


def _header(credential: Credential) -> tuple[str, str]:
    """The header that it stands in and what is to be said of it; an empty one for the query."""
    match credential.place:
        case CredentialPlace.HEADER:
            return credential.key, credential.help
        case CredentialPlace.COOKIE:
            return "Cookie", f"`{credential.key}=…`. {credential.help}"
        case CredentialPlace.BEARER:
            return "Authorization", f"`Bearer …`. {credential.help}"
        case CredentialPlace.BASIC:
            return "Authorization", f"`Basic …`. {credential.help}"
    return "", ""


def _scheme(credential: Credential) -> dict[str, JSON]:
    if credential.place in _API_KEYS:
        where = {"name": credential.key, "in": credential.place.value}
        return {"type": "httpApiKey", "description": credential.help, **where}
    scheme: dict[str, JSON] = {"type": "http", "description": credential.help, "scheme": credential.place.value}
    return {**scheme, "bearerFormat": "JWT"} if credential.place is CredentialPlace.BEARER else scheme


def _message(message: Message) -> dict[str, JSON]:
    return {
        "name": message.name,
        "title": message.type or message.name,
        "summary": f"{message.help}.",
        "payload": {"$ref": _SCHEMAS + message.name},
    }


def _operation(folder: ProtocolFolder, point: MountPoint, message: Message) -> tuple[str, dict[str, JSON]]:
    action = "send" if message in folder.messages.server else "receive"
    channel = f"#/channels/{_channel_name(folder, point)}"
    operation: dict[str, JSON] = {
        "action": action,
        "channel": {"$ref": channel},
        "summary": f"{message.help}.",
        "messages": _references(channel, [message.name]),
    }
    if message.answer:
        operation["reply"] = {"channel": {"$ref": channel}, "messages": _references(channel, [message.answer])}
    return f"{action}{message.name}{_suffix(point)}", operation


def _references(channel: str, names: Sequence[str]) -> list[JSON]:
    return [{"$ref": f"{channel}/messages/{name}"} for name in names]
