"""One line an event, no secret in it, and nothing that a client could forge."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from users_server.logs import clean, configure_logging, mask

Start = Callable[..., io.StringIO]


@pytest.fixture
def start() -> Iterator[Start]:
    """Configure the logging into a string, and put back what was there."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level

    def configure(format: str, level: str = "info") -> io.StringIO:
        stream = io.StringIO()
        configure_logging(level, format, stream)
        return stream

    yield configure
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger("tornado.access").disabled = False
    logging.getLogger("python_multipart").setLevel(logging.NOTSET)
    structlog.reset_defaults()


def fail(message: str) -> None:
    raise ValueError(message)


def objects(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_json_is_an_object_a_line(start: Start) -> None:
    stream = start("json")
    structlog.stdlib.get_logger("users_server.x").info("login", username="ann", connection_id="c1", count=2)
    logging.getLogger("other").warning("from %s", "a library")
    first, second = objects(stream)
    assert (first["event"], first["level"], first["username"], first["count"]) == ("login", "info", "ann", 2)
    assert (first["logger"], first["connection_id"]) == ("users_server.x", "c1")
    assert (second["event"], second["level"], second["logger"]) == ("from a library", "warning", "other")
    assert "timestamp" in second


def test_console_is_a_line_without_colours_where_there_is_no_terminal(start: Start) -> None:
    stream = start("console")
    structlog.stdlib.get_logger("users_server.x").info("login", username="ann")
    (line,) = stream.getvalue().splitlines()
    assert "login" in line
    assert "username=ann" in line
    assert "\x1b" not in line


def test_the_level(start: Start) -> None:
    stream = start("json", "warning")
    logger = structlog.stdlib.get_logger("x")
    logger.info("no")
    logging.getLogger("x").info("no")
    logger.warning("yes")
    assert [entry["event"] for entry in objects(stream)] == ["yes"]


@pytest.mark.parametrize("format", ["json", "console"])
def test_secrets_are_masked(start: Start, format: str) -> None:
    stream = start(format)
    logger = structlog.stdlib.get_logger("x")
    logger.info("a", password="hunter2", token="hunter2", cookie="hunter2", api_key="hunter2", key=b"hunter2")
    logger.info("b", headers={"Authorization": "Bearer hunter2", "users-api-key": "hunter2", "Cookie": ["hunter2"]})
    logger.info("c", uri="/?token=hunter2&x=1", url="mongodb://ann:hunter2@db", body='{"password": "hunter2"}')
    logging.getLogger("tornado.application").error("Uncaught exception GET /?token=hunter2 (1.2.3.4)")
    logging.getLogger("x").info("%s", {"Authorization": "Bearer hunter2"})
    assert "hunter2" not in stream.getvalue()
    assert "x=1" in stream.getvalue()


def test_a_count_of_secrets_is_none(start: Start) -> None:
    stream = start("json")
    structlog.stdlib.get_logger("x").info("a", tokens=3, has_password=True, key_id="2025-01")
    (entry,) = objects(stream)
    assert (entry["tokens"], entry["has_password"], entry["key_id"]) == (3, True, "2025-01")


@pytest.mark.parametrize("format", ["json", "console"])
def test_no_line_can_be_forged(start: Start, format: str) -> None:
    stream = start(format)
    evil = "ann\n2026-01-01 [info] forged\r\x1b[2J\u2028\x85\u202e"
    structlog.stdlib.get_logger("x").info(evil, username=evil, inner=[{"a": evil}], **{"key\n": 1})
    logging.getLogger("x").info("hello %s", evil)
    assert len(stream.getvalue().splitlines()) == 2
    assert not set(stream.getvalue()) & set("\r\x1b\u2028\x85\u202e")


def test_a_traceback_is_marked_as_one(start: Start) -> None:
    stream = start("console")
    try:
        fail("bad\nERROR forged token=hunter2")
    except ValueError:
        structlog.stdlib.get_logger("x").exception("failed")
    first, *others = stream.getvalue().splitlines()
    assert "failed" in first
    assert others
    assert all(line.startswith("| ") for line in others)
    assert "hunter2" not in stream.getvalue()


def test_a_traceback_is_part_of_the_object(start: Start) -> None:
    stream = start("json")
    try:
        fail("bad")
    except ValueError:
        logging.getLogger("x").exception("failed")
    (entry,) = objects(stream)
    assert "ValueError: bad" in entry["exception"]


def test_tornados_access_log_is_off(start: Start) -> None:
    stream = start("json")
    logging.getLogger("tornado.access").warning("404 GET /?token=hunter2")
    assert stream.getvalue() == ""


def test_what_a_client_got_wrong_in_a_form_is_no_news(start: Start) -> None:
    stream = start("json")
    logging.getLogger("python_multipart.multipart").warning("Found invalid character 13 in header at 76")
    assert stream.getvalue() == ""


@given(st.text())
def test_clean_text_is_one_line(text: str) -> None:
    assert len(clean(text).splitlines()) <= 1
    clean(text).encode()


@pytest.mark.parametrize(
    "text", ["invalid token: it has expired", "the password is wrong", "http://localhost:8000/a@b", "insidious=1"]
)
def test_ordinary_text_stays(text: str) -> None:
    assert mask(text) == text
