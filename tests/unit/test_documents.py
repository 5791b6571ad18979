"""What the documents name exists, and what exists is in the documents."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import click
import pytest

from users_server.backends.redis import RedisStatistics
from users_server.cli import main
from users_server.config import Config, effective_config
from users_server.core.statistics import Statistics
from users_server.errors import Disconnect
from users_server.protocols.users.errors import CLOSE_CODES, ERROR_CODES
from users_server.protocols.users.events import BY_TYPE, EVENTS
from users_server.services.webhooks import WebhookFigures
from users_server.web.metrics import Metrics
from users_server.web.statistics_collector import StatisticsCollector
from users_server.web.webhook_collector import WebhookCollector
from users_server.web.websocket.frames import CloseCode

ROOT = Path(__file__).parents[2]
DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("benchmarks/*.md")])
README = (ROOT / "README.md").read_text(encoding="utf-8")
SOCKET_API = (ROOT / "docs" / "socket-api.md").read_text(encoding="utf-8")
OPERATION = (ROOT / "docs" / "operation.md").read_text(encoding="utf-8")
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text(encoding="utf-8")

FOLDERS = ("users_server", "tests", "benchmarks")

PARSER_CODES = {CloseCode.PROTOCOL_ERROR, CloseCode.INVALID_DATA, CloseCode.TOO_BIG}
"""Codes of RFC 6455 itself, which no protocol's table has."""

every_document = pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))


def section(document: str, title: str) -> str:
    """What stands below the heading ``title``, up to the next one of its level."""
    match = re.search(rf"^## {re.escape(title)}\n(.*?)(?=^## |\Z)", document, re.MULTILINE | re.DOTALL)
    assert match, f"no section {title}"
    return match[1]


def fences(document: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", document, re.MULTILINE | re.DOTALL)


def code(document: str) -> Iterator[str]:
    """Spans of code, and the lines of blocks for a shell."""
    yield from re.findall(r"(?<!`)`([^`\n]+)`(?!`)", document)
    for block in fences(document, "sh"):
        yield from block.replace("\\\n", " ").splitlines()


def first_cells(table: str) -> list[str]:
    """The first cells of a table's rows, without head."""
    rows = re.findall(r"^\| *([^|]*?) *\|", table, re.MULTILINE)
    return [cell.strip("`") for cell in rows if not cell.startswith("---")][1:]


def command_lines(document: str) -> Iterator[list[str]]:
    """Calls of users-server as words, without what comes behind a pipe or the next command."""
    for line in code(document):
        for call in re.findall(r"(?:^|/bin/|&& |\| )users-server ([^|&;>#]+)", line):
            yield shlex.split(call.replace("…", ""))


def find_command(words: list[str]) -> tuple[click.Command, list[str]]:
    """The command that ``words`` begin with, and the other words."""
    command: click.Command = main
    while isinstance(command, click.Group) and words and not words[0].startswith("-"):
        if words[0].isupper():
            break
        assert words[0] in command.commands, f"there is no command {words[0]} in {command.name}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def leaf_commands(group: click.Group, path: str = "") -> Iterator[str]:
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from leaf_commands(command, f"{path}{name} ")
        else:
            yield path + name


@every_document
def test_commands_of_the_documents_exist(path: Path) -> None:
    for words in command_lines(path.read_text(encoding="utf-8")):
        command, rest = find_command(words)
        known = {option for parameter in command.params for option in parameter.opts} | {"--help"}
        unknown = {word.partition("=")[0] for word in rest if word.startswith("-") and len(word) > 1} - known
        assert not unknown, f"users-server {shlex.join(words)}: there is no {unknown}"


def test_the_readme_names_every_command() -> None:
    named = section(README, "Command line")
    assert [name for name in leaf_commands(main) if not re.search(rf"`(users-server )?{name}\b", named)] == []


def makefile_targets() -> set[str]:
    match = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    assert match
    return set(match[1].split())


@every_document
def test_targets_of_the_documents_exist(path: Path) -> None:
    named = {
        target for line in code(path.read_text(encoding="utf-8")) for target in re.findall(r"^make ([a-z-]+)", line)
    }
    assert named <= makefile_targets()


def test_make_help_names_every_target() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert set(re.findall(r'^\t@echo "make ([a-z-]+) ', text, re.MULTILINE)) == makefile_targets() - {"help"}


def test_the_readme_begins_with_the_two_commands() -> None:
    assert [line.split()[:2] for line in fences(README, "sh")[0].splitlines()] == [["make", "run"], ["make", "test"]]


def slug(heading: str) -> str:
    """The anchor of a heading, as the usual hosts make it."""
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@every_document
def test_links_resolve(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        if target.startswith(("http://", "https://")):
            continue
        name, _, anchor = target.partition("#")
        file = (path.parent / name).resolve() if name else path
        assert file.exists(), f"{path.name}: {target}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", file.read_text(encoding="utf-8"), re.MULTILINE)
            assert anchor in map(slug, headings), f"{path.name}: {target}"


@every_document
def test_files_of_the_documents_exist(path: Path) -> None:
    files = ["/hello.py", *(f"/{file.relative_to(ROOT)}" for top in FOLDERS for file in ROOT.glob(f"{top}/**/*.py"))]
    named = {span for span in code(path.read_text(encoding="utf-8")) if re.fullmatch(r"[a-z_/]+\.py", span)}
    assert {name for name in named if not any(file.endswith(f"/{name}") for file in files)} == set()


def settings(config: dict[str, Any], path: str = "") -> Iterator[str]:
    for key, value in config.items():
        yield path + key
        if isinstance(value, dict):
            yield from settings(value, f"{path}{key}.")


@every_document
def test_settings_of_the_documents_exist(path: Path) -> None:
    known = set(settings(effective_config(Config())))
    sections = "|".join(name for name in known if "." not in name)
    named = re.findall(rf"`((?:{sections})\.[A-Za-z0-9]+)[^`.]*`", path.read_text(encoding="utf-8"))
    # a file of the same name as a section, as session.py, is no setting
    assert {name for name in named if not name.endswith((".py", ".json"))} <= known


def exposed_metrics() -> set[str]:
    """Every metric's name as a query has it."""
    metrics = Metrics()
    metrics.attach(StatisticsCollector(Statistics(), list, broker=lambda: asdict(RedisStatistics())))
    metrics.attach(WebhookCollector(WebhookFigures()))
    text = metrics.render("application/openmetrics-text; version=1.0.0")[0].decode()
    families = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
    return {name + "_total" if kind == "counter" else name for name, kind in families}


def test_every_metric_is_documented() -> None:
    assert set(first_cells(section(OPERATION, "Metrics"))) == exposed_metrics()


@every_document
def test_metrics_of_the_documents_exist(path: Path) -> None:
    named = re.findall(
        r"\busers_server_[a-z_]+_(?:total|seconds|bytes|connections)\b", path.read_text(encoding="utf-8")
    )
    assert set(named) <= exposed_metrics()


def test_every_close_code_is_documented() -> None:
    documented = set(map(int, first_cells(section(SOCKET_API, "Close codes"))))
    assert documented == {*CLOSE_CODES.values(), *PARSER_CODES}


def test_every_reason_to_close_has_a_code() -> None:
    assert {reason.reason for reason in [Disconnect, *Disconnect.__subclasses__()]} == CLOSE_CODES.keys()


def test_every_error_code_is_documented() -> None:
    assert set(first_cells(section(SOCKET_API, "Errors"))) == set(ERROR_CODES.values())


def test_every_event_is_documented() -> None:
    rows = re.findall(r"^\| (\d+) \| (\w+) \|", section(SOCKET_API, "Events"), re.MULTILINE)
    assert rows == [(str(event.type), event.name) for event in EVENTS]
    headings = re.findall(r"^### (.*)$", section(SOCKET_API, "Events"), re.MULTILINE)
    assert ", ".join(headings).split(", ") == [f"{event.type} {event.name}" for event in EVENTS]


def wire_examples() -> list[str]:
    return [line for block in fences(SOCKET_API, "json") for line in block.splitlines()]


@pytest.mark.parametrize("line", wire_examples())
def test_wire_examples_are_valid(line: str) -> None:
    message = json.loads(line.removeprefix("→ ").removeprefix("← "))
    event = BY_TYPE[message.pop("eventType")]
    schema = event.input if line.startswith("→") else event.output
    assert schema(unknown="raise").validate(message) == {}


def test_every_event_has_a_wire_example() -> None:
    shown = {int(number) for line in wire_examples() for number in re.findall(r'"eventType":(\d+)', line)}
    assert shown == BY_TYPE.keys()


def test_an_event_is_found_with_one_grep() -> None:
    sources = [file.read_text(encoding="utf-8") for file in ROOT.glob("users_server/**/*.py")]
    for event in EVENTS:
        assert sum(source.count(f"Event({event.type},") for source in sources) == 1


def test_the_reason_for_every_library_is_given() -> None:
    text = (ROOT / "setup.py").read_text(encoding="utf-8")
    requirements, _, extras = text.partition("install_requires")[2].partition("extras_require")
    names = set(re.findall(r'^\s+"([a-z0-9-]+)', requirements, re.MULTILINE))
    # what only the tests and the checks need is not the server's
    names |= set(re.findall(r'"(?:definitions|s3)": \["([a-z0-9-]+)', extras))
    assert set(first_cells(section(ARCHITECTURE, "Libraries, and why"))) == names


def test_the_image_is_built_from_files_that_exist() -> None:
    copied = re.findall(r"^COPY (?!--from)(.*)$", (ROOT / "Dockerfile").read_text(encoding="utf-8"), re.MULTILINE)
    sources = [source for line in copied for source in line.split()[:-1]]
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert sources
    assert [source for source in sources if not (ROOT / source).exists() or f"!{source}" not in allowed] == []
