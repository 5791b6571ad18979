"""Only patterns that JavaScript reads as Python does are published."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.definitions.conftest import ROOT
from users_server.definitions.patterns import portable


@pytest.mark.parametrize(
    ("pattern", "published"),
    [
        (r"^[a-z]+$", r"^[a-z]+$"),
        (r"\A[a-z]+\Z", r"^[a-z]+$"),
        (r"\Aa\\Z\.b\Z", r"^a\\Z\.b$"),
        (r"^\x41\u00e9\n$", r"^\x41\u00e9\n$"),
        (r"^(?:a|b)(?=c)(?!d)$", r"^(?:a|b)(?=c)(?!d)$"),
        (r"^\(?P\+\+$", r"^\(?P\+\+$"),
    ],
)
def test_a_portable_pattern(pattern: str, published: str) -> None:
    assert portable(pattern) == published


@pytest.mark.parametrize(
    "pattern",
    [
        r"^\w+$",
        r"^\d$",
        r"^\s$",
        r"^a\b$",
        r"^[\-a]$",
        r"^(?P<name>a)$",
        r"^(?i:a)$",
        r"^(?<=a)b$",
        r"^a++$",
        r"^a{2}+$",
        "^é$",
        "[a-z]+",
        r"a|^b",
    ],
)
def test_another_is_refused(pattern: str) -> None:
    with pytest.raises(ValueError, match=re.escape(repr(pattern))):
        portable(pattern)


@pytest.mark.node
@pytest.mark.usefixtures("node_packages")
def test_javascript_reads_the_published_patterns(committed: Callable[[str], dict[str, Any]], tmp_path: Path) -> None:
    names = sorted(path.name for path in (ROOT / "definitions").glob("*.json"))
    patterns = sorted({pattern for name in names for pattern in find_patterns(committed(name))})
    assert patterns
    texts = [
        "",
        "a",
        "A-1_2.x",
        "/api",
        "/api/",
        "api",
        "a b",
        "é",
        "/",
        "2025-01",
        "events:emit",
        "x" * 65,
        "~",
        "a\nb",
    ]
    program = (
        "const [patterns, texts] = process.argv.slice(1).map((text) => JSON.parse(text));"
        "const rows = ['', 'u'].map((flag) => patterns.map((p) => texts.map((t) => new RegExp(p, flag).test(t))));"
        "console.log(JSON.stringify(rows));"
    )
    result = subprocess.run(
        ["node", "-e", program, json.dumps(patterns), json.dumps(texts)],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    rows = [[re.search(pattern, text) is not None for text in texts] for pattern in patterns]
    assert json.loads(result.stdout) == [rows, rows]


def find_patterns(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            yield from find_patterns(inner)
