"""The committed definitions, and what checks them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from tests.missing import missing

ROOT = Path(__file__).resolve().parents[3]
NODE_FOLDER = ROOT / "tests" / "definitions_types"


@dataclass(frozen=True)
class Checker:
    """Checks values against the definitions of one document."""

    document: dict[str, Any]
    place: str

    def validator(self, name: str, *, is_closed: bool = False) -> Draft202012Validator:
        """``is_closed`` also refuses fields that the definition does not have."""
        closed = {"unevaluatedProperties": False} if is_closed else {}
        return Draft202012Validator({**self.document, "$ref": f"#/{self.place}/{name}", **closed})


def read(name: str) -> dict[str, Any]:
    document = json.loads((ROOT / "definitions" / name).read_text(encoding="utf-8"))
    assert isinstance(document, dict)
    return document


@pytest.fixture(scope="session")
def committed() -> Callable[[str], dict[str, Any]]:
    return read


@pytest.fixture(scope="session")
def events() -> Checker:
    """Of ``events.schema.json``."""
    return Checker({"$defs": read("events.schema.json")["$defs"]}, "$defs")


@pytest.fixture(scope="session")
def openapi() -> Checker:
    """Of ``openapi.json``."""
    return Checker({"components": read("openapi.json")["components"]}, "components/schemas")


@pytest.fixture(scope="session")
def node_packages() -> Path:
    """Where the pinned npm packages are. On somebody's machine they may be missing, in CI not."""
    wanted = json.loads((NODE_FOLDER / "package.json").read_text(encoding="utf-8"))["devDependencies"]
    packages = NODE_FOLDER / "node_modules"
    if shutil.which("node") is None or {name: installed(packages / name) for name in wanted} != wanted:
        missing(f"Node.js or its packages are missing; with Node.js: cd {NODE_FOLDER.relative_to(ROOT)} && npm ci")
    return packages


def installed(package: Path) -> str | None:
    try:
        description = (package / "package.json").read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    return str(json.loads(description)["version"])
