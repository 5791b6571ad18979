"""The parts of the HTTP edge that need no socket."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_server import services
from users_server.errors import MalformedFrame, NotAnObject, PayloadTooLarge, UsersServerError
from users_server.services.origins import OriginPolicy
from users_server.web import body, http
from users_server.web.cors import is_foreign, is_same_origin


def import_services() -> None:
    for module in pkgutil.iter_modules(services.__path__, f"{services.__name__}."):
        importlib.import_module(module.name)


SIDES = ("users_server.errors", "users_server.services", "users_server.web")


def error_classes(base: type[UsersServerError] = UsersServerError) -> Iterator[type[UsersServerError]]:
    """All that a handler may meet: of errors.py, of the services, and of the edge itself, but not of our clients."""
    if base.__module__.startswith(SIDES) and base.__module__ != "users_server.web.client":
        yield base
    for subclass in base.__subclasses__():
        yield from error_classes(subclass)


import_services()


@pytest.mark.parametrize("error", list(error_classes()), ids=lambda error: error.__name__)
def test_every_error_has_a_status(error: type[UsersServerError]) -> None:
    assert error.reason in http.STATUS, f"add {error.reason!r} to STATUS of users_server/web/http.py"
    assert (http.STATUS[error.reason] == 503) or not error.is_temporary


def test_every_status_has_an_error() -> None:
    assert set(http.STATUS) == {error.reason for error in error_classes()}


@pytest.mark.parametrize(
    ("origin", "host", "expected"),
    [
        ("http://example.com", "example.com", True),
        ("http://example.com:80", "example.com", True),
        ("http://example.com", "EXAMPLE.com:80", True),
        ("https://example.com", "example.com:443", True),
        ("http://example.com:8000", "example.com:8000", True),
        ("http://[::1]:8000", "[::1]:8000", True),
        ("http://example.com:443", "example.com", False),
        ("http://example.com", "example.com:8000", False),
        ("http://example.com.evil.example", "example.com", False),
        ("http://evil.example", "example.com", False),
        ("http://user@example.com", "example.com", False),
        ("http://example.com/path", "example.com", False),
        ("ftp://example.com", "example.com", False),
        ("example.com", "example.com", False),
        ("null", "null", False),
        ("", "", False),
        ("http://", "", False),
        ("http://[", "[", False),
    ],
)
def test_is_same_origin(origin: str, host: str, expected: bool) -> None:
    assert is_same_origin(origin, host) is expected


@given(st.text(), st.text())
def test_no_origin_breaks_the_comparison(origin: str, host: str) -> None:
    assert is_same_origin(origin, host) in (True, False)


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, False),
        ({"Host": "a"}, False),
        ({"Host": "a", "Origin": "http://a"}, False),
        ({"Host": "a", "Origin": "http://b"}, True),
        ({"Host": "a", "Origin": "http://good"}, False),
        ({"Host": "a", "Origin": "null"}, True),
        ({"Host": "a", "Sec-Fetch-Site": "Cross-Site"}, True),
        ({"Host": "a", "Sec-Fetch-Site": "same-origin"}, False),
        ({"Host": "a", "Sec-Fetch-Site": "cross-site", "Origin": "http://good"}, False),
    ],
)
def test_is_foreign(headers: dict[str, str], expected: bool) -> None:
    assert is_foreign(headers, OriginPolicy(["^http://good$"])) is expected


def test_a_body_is_bounded_while_it_comes() -> None:
    collected = body.Body(10)
    for _ in range(1000):
        collected.add(b"12345")
    assert collected._chunks == []
    with pytest.raises(PayloadTooLarge):
        collected.bytes()


@pytest.mark.parametrize(
    ("announced", "expected"),
    [(None, False), ("80", False), ("81", True), ("9" * 10_000, True), ("-1", False), ("x", False), ("²", False)],
)
def test_what_is_not_worth_discarding(announced: str | None, expected: bool) -> None:
    assert body.Body(10).is_hopeless(announced) is expected


@given(st.binary(max_size=200))
def test_no_bytes_break_the_decoder(text: bytes) -> None:
    try:
        value = body.decode(text, may_be_list=True)
    except (MalformedFrame, NotAnObject):
        return
    assert isinstance(value, dict | list)


@pytest.mark.parametrize("levels", range(1, 6))
def test_depth(levels: int) -> None:
    value: Any = "leaf"
    for level in range(levels):
        value = [value] if level % 2 else {"a": value}
    assert body.is_deeper_than(value, levels - 1)
    assert not body.is_deeper_than(value, levels)


def test_depth_of_a_leaf() -> None:
    assert not body.is_deeper_than("leaf", 0)
    assert body.is_deeper_than({}, 0)


def test_indices_become_text() -> None:
    messages = {0: {"name": ["bad"], 2: {"x": ["worse"]}}, "other": ["bad"]}
    assert http.with_text_keys(messages) == {"0": {"name": ["bad"], "2": {"x": ["worse"]}}, "other": ["bad"]}
