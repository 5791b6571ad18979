"""``<protocol>.d.ts``: the messages of one protocol for TypeScript, from its JSON Schema."""

from __future__ import annotations

from users_server import __version__
from users_server.definitions.files import NOTICE
from users_server.definitions.protocol_messages import SERVER_UNION, definitions
from users_server.definitions.typescript import comment, declaration, member
from users_server.protocols.base import ProtocolFolder


def protocol_types(folder: ProtocolFolder) -> bytes:
    """The file: types only. Every name begins with the protocol's."""
    prefix = folder.name.capitalize()
    blocks = [
        f"// Types of the protocol {folder.name} of users-server {__version__}.\n// {NOTICE}\n",
        _by_type(folder, prefix),
        *(declaration(name, schema, prefix) for name, schema in definitions(folder).items()),
    ]
    return "\n".join(blocks).encode()


def _by_type(folder: ProtocolFolder, prefix: str) -> str:
    table = folder.messages
    members = "".join(
        member(message.type, prefix + message.name, message.help, is_required=True)
        for message in table.server
        if message.type is not None
    )
    about = comment(f"What a client may receive by its `{table.type_field}`, for listeners by name.")
    return f"{about}export interface {prefix}{SERVER_UNION}Map {{\n{members}}}\n"
