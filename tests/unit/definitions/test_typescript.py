"""``events.d.ts`` compiles, and says what the JSON Schema says."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.unit.definitions.conftest import NODE_FOLDER, ROOT
from users_server.definitions.messages import client_messages, server_messages
from users_server.definitions.typescript import type_of
from users_server.protocols.users.events import EVENTS

TYPES = (ROOT / "definitions" / "events.d.ts").read_text(encoding="utf-8")


@pytest.mark.node
def test_it_compiles_under_strict_with_what_a_client_does(node_packages: Path) -> None:
    compiler = node_packages / "typescript" / "bin" / "tsc"
    result = subprocess.run(
        ["node", str(compiler), "--project", str(NODE_FOLDER)],
        cwd=NODE_FOLDER,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (result.returncode, result.stdout + result.stderr) == (0, "")


def test_every_event_of_the_table_occurs() -> None:
    for event in EVENTS:
        assert f"\n  {event.name}: {event.type};\n" in TYPES
        assert f"\n  {event.name}: Users{event.name}Event;\n" in TYPES
    for message in [*server_messages(), *client_messages()]:
        assert f"\nexport interface Users{message.name} {{" in TYPES
        assert f"\n  | Users{message.name}" in TYPES


def test_every_name_has_the_prefix_and_nothing_exists_at_run_time() -> None:
    exported = re.findall(r"^export (\w+) (\w+)", TYPES, re.MULTILINE)
    assert len(exported) == TYPES.count("export ")
    assert {kind for kind, _ in exported} == {"interface", "type"}
    assert all(name.startswith("Users") for _, name in exported)


def test_every_declaration_and_every_described_field_has_a_comment() -> None:
    lines = TYPES.splitlines()
    for index, line in enumerate(lines):
        if line.startswith("export "):
            assert lines[index - 1].endswith("*/"), line


@pytest.mark.parametrize(
    ("schema", "written"),
    [
        ({}, "unknown"),
        ({"type": "integer"}, "number"),
        ({"type": ["string", "null"]}, "string | null"),
        ({"type": ["integer", "number"]}, "number"),
        ({"const": 5, "type": "integer"}, "5"),
        ({"const": None}, "null"),
        ({"enum": ["a", 'b"']}, '"a" | "b\\""'),
        ({"$ref": "#/$defs/FileEntry"}, "UsersFileEntry"),
        ({"anyOf": [{"$ref": "#/$defs/FileEntry"}, {"type": "null"}]}, "UsersFileEntry | null"),
        ({"type": "array", "items": {"type": ["string", "null"]}}, "Array<string | null>"),
        ({"type": "object", "additionalProperties": {}}, "Record<string, unknown>"),
    ],
    ids=str,
)
def test_a_type(schema: dict[str, Any], written: str) -> None:
    assert type_of(schema) == written


@pytest.mark.parametrize("schema", [{"type": "object", "properties": {}}, {"type": "nonsense"}], ids=str)
def test_what_it_cannot_write_is_an_error(schema: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="No TypeScript type"):
        type_of(schema)
