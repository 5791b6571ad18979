"""
The files that are generated from the schemas and tables: JSON Schema, TypeScript, AsyncAPI, OpenAPI, configuration.

Rule: what is generated depends on the code alone, not on time, place or settings, so that the committed files can be
compared byte by byte. Needs the extra ``definitions``; without it the import says so.
"""

from __future__ import annotations

import difflib
from pathlib import Path

from users_server.config.protocols import PROTOCOLS
from users_server.definitions.asyncapi import asyncapi
from users_server.definitions.configuration import config_schema, documents
from users_server.definitions.events import events_schema
from users_server.definitions.openapi import openapi
from users_server.definitions.protocol_asyncapi import protocol_asyncapi
from users_server.definitions.protocol_messages import messages_schema
from users_server.definitions.protocol_types import protocol_types
from users_server.definitions.typescript import events_types
from users_server.protocols.base import ProtocolFolder

__all__ = ["check", "difference", "generate", "generate_documents", "generated_files"]


SERVED = "users_server/web/documents/openapi.json"
"""What a running server serves. It has no generator, so the file is shipped with it."""


def generate() -> dict[str, bytes]:
    """The definitions: name to content."""
    return {
        "asyncapi.json": asyncapi(),
        "config.schema.json": config_schema(),
        "events.d.ts": events_types(),
        "events.schema.json": events_schema(),
        "openapi.json": openapi(),
        **{name: content for folder in PROTOCOLS for name, content in _of_protocol(folder).items()},
    }


def _of_protocol(folder: ProtocolFolder) -> dict[str, bytes]:
    return {
        f"{folder.name}.asyncapi.json": protocol_asyncapi(folder),
        f"{folder.name}.d.ts": protocol_types(folder),
        f"{folder.name}.schema.json": messages_schema(folder),
    }


def generate_documents() -> dict[str, bytes]:
    """What is generated for other places: path from the top of the repository to content."""
    return documents() | {SERVED: openapi()}


def generated_files(directory: Path) -> dict[Path, bytes]:
    """All files where they belong: the definitions in ``directory``, the documents beside it."""
    definitions = {directory / name: content for name, content in generate().items()}
    return definitions | {directory.parent / name: content for name, content in generate_documents().items()}


def check(directory: Path) -> list[str]:
    """The paths of the files that are missing or are not as they would be generated."""
    return [str(path) for path, content in generated_files(directory).items() if difference(path, content)]


def difference(path: Path, content: bytes) -> str:
    """What would change at ``path``, as a unified diff for people; empty if nothing would."""
    try:
        present = path.read_bytes()
    except FileNotFoundError:
        present = b""
    if present == content:
        return ""
    old, new = (text.decode("utf-8", "replace").splitlines(keepends=True) for text in (present, content))
    return "".join(difflib.unified_diff(old, new, str(path), f"{path} (generated)"))
