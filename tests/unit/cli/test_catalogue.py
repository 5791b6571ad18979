"""``events``: the catalogue comes from the event table."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest
from click.testing import Result

from users_server.protocols.users.events import EVENTS

Run = Callable[..., Result]


def test_the_list_has_every_event(run: Run) -> None:
    lines = run("events").stdout.splitlines()
    assert [line.split()[:2] for line in lines] == [[str(event.type), event.name] for event in EVENTS]


@pytest.mark.parametrize("event", EVENTS, ids=lambda event: event.name)
def test_one_event_by_its_number(run: Run, event: object) -> None:
    number, name = event.type, event.name  # type: ignore[attr-defined]
    result = run("events", str(number))
    assert result.exit_code == 0
    assert result.stdout.startswith(f"{number} {name}: ")
    assert result.stdout == run("events", name.lower()).stdout


def test_the_handlers_place_is_where_it_is(run: Run) -> None:
    match = re.search(r"^Handler: +(\S+):(\d+) ", run("events", "10").stdout, re.MULTILINE)
    assert match
    assert Path(match[1]).read_text(encoding="utf-8").splitlines()[int(match[2]) - 1].startswith("def echo(")


def test_fields_with_types_need_and_description(run: Run) -> None:
    lines = run("events", "echo").stdout.splitlines()
    assert "  message: string, required" in lines
    assert "  broadcast: boolean, optional. True: to every approved connection, the sender included" in lines
    assert "Direction: both" in lines


def test_fields_of_an_entry_are_shown_below_it(run: Run) -> None:
    lines = run("events", "5").stdout.splitlines()
    assert "  files: array of object, required" in lines
    assert "    publicURL: string or null, required" in lines
    assert lines[-2:] == ["From the server:", "  the same"]


@pytest.mark.parametrize("name", ["12", "0", "-1", "nothing", "²", "9" * 5000])
def test_an_unknown_event_is_a_usage_error(run: Run, name: str) -> None:
    result = run("events", "--", name)
    assert result.exit_code == 2
    assert "10 Echo" in result.stderr
