"""users-socket-api.md, Connecting: who may connect, by origin and by API key."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.raw_client import PING, TEXT, RawClient, build_close, build_frame
from tests.server_process import API_KEY, APPROVED_DOMAINS, EVIL_ORIGIN, ServerProcess

ECHO = build_frame(TEXT, b'{"eventType":10,"message":"hello"}')

APPROVED = [
    "http://localhost",
    "http://localhost:3000",
    "https://localhost",
    "http://localhost.evil.example",  # the hole that the server warns of: the pattern has no anchor
    "ws://www.webinate.net:123",
    "ws://wwwxwebinate.net:123",  # a dot that was not escaped
    "webinate.net:80",
    "example.com",
    "https://www.example.com",
    "http://a.b.c.example.com",
    "example.org",
    "example.org.evil.example",
    "https://www.example.org",
    "https://www.example.org:8080",
]

REFUSED = [
    EVIL_ORIGIN,
    "",
    "null",
    "LOCALHOST",
    "http://localhos",
    "https://example.com",
    "example.com.evil.example",
    "https://www.example.com.evil.example",
    "https://www.examplexcom",
    "ws://www.webinate.net:1234",
    "wss://www.webinate.net:123",
    "webinate.net:8080",
    "awebinate.net:80",
    "file://",
    "https://ёxample.com".encode().decode("latin-1"),
    "a" * 5000,
    "%00",
]


def refused(client: RawClient) -> None:
    reason = client.expect_close(1008)
    assert "origin" in reason.lower()


@pytest.mark.parametrize("origin", APPROVED)
def test_one_pattern_is_enough(connect: Callable[..., RawClient], origin: str) -> None:
    assert connect(origin=origin).ask(eventType=10, message="hello") == {"eventType": 10, "message": "hello"}


@pytest.mark.parametrize("origin", [*REFUSED, None])
def test_others_are_closed_after_the_handshake(connect: Callable[..., RawClient], origin: str | None) -> None:
    refused(connect(origin=origin))


@pytest.mark.parametrize("trailing", [ECHO, ECHO * 100, build_frame(PING, b"x"), build_frame(3), b"\xff" * 300])
def test_nothing_of_a_refused_client_is_read(connect: Callable[..., RawClient], trailing: bytes) -> None:
    """Neither answered nor counted as an error of its own: the first and only frame is the close."""
    refused(connect(origin=EVIL_ORIGIN, trailing=trailing))
    client = connect(origin=None)
    client.send(trailing)
    refused(client)


def test_a_close_from_a_refused_client(connect: Callable[..., RawClient]) -> None:
    refused(connect(origin=EVIL_ORIGIN, trailing=build_close(1000)))


def test_a_refused_client_gets_not_one_event(connect: Callable[..., RawClient]) -> None:
    """It does not answer the close, so the link lingers while others broadcast."""
    evil = connect(origin=EVIL_ORIGIN, trailing=ECHO)
    good = connect()
    assert good.events_until_echo("a broadcast") == []
    refused(evil)
    good.send_event(eventType=10, message="after", broadcast=True)
    assert good.read_event()["message"] == "after", "nor did its own broadcast reach anybody"


def test_a_broadcast_of_a_refused_client_reaches_nobody(connect: Callable[..., RawClient]) -> None:
    good = connect()
    message = b'{"eventType":10,"broadcast":true,"message":"evil"}'
    refused(connect(origin=EVIL_ORIGIN, trailing=build_frame(TEXT, message)))
    assert good.events_until_echo("mark") == []


@pytest.mark.parametrize("origin", [None, EVIL_ORIGIN])
def test_conformance_runs_need_no_origin(connect: Callable[..., RawClient], origin: str | None) -> None:
    client = connect(path="/conformance", origin=origin)
    client.send_text("as it came")
    assert client.read_message().payload == b"as it came"


@pytest.mark.parametrize("origin", [None, EVIL_ORIGIN, "http://localhost"])
def test_the_api_key_approves_any_origin(connect: Callable[..., RawClient], origin: str | None) -> None:
    client = connect(origin=origin, headers={"users-api-key": API_KEY})
    assert client.ask(eventType=10, message="service")["message"] == "service"


@pytest.mark.parametrize(
    "key", ["wrong", "", API_KEY[:-1], API_KEY + "x", API_KEY.upper(), "ключ".encode().decode("latin-1")]
)
def test_a_wrong_api_key_approves_nothing(connect: Callable[..., RawClient], key: str) -> None:
    refused(connect(origin=None, headers={"users-api-key": key}))
    ordinary = connect(headers={"users-api-key": key})
    assert ordinary.ask(eventType=1, username="x")["code"] == "not_permitted"


@pytest.mark.parametrize("key", ["", API_KEY])
def test_without_a_key_configured_the_header_is_ignored(
    launch: Callable[..., ServerProcess], is_tls: bool, key: str
) -> None:
    server = launch(tls=is_tls, websocket={"socketApiKey": ""})
    with server.connect(origin=None, headers={"users-api-key": key}) as client:
        refused(client)
    with server.connect(headers={"users-api-key": key}) as client:
        assert client.ask(eventType=1, username="x")["code"] == "not_permitted"


def test_no_patterns_approve_nobody(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"approvedSocketDomains": []})
    with server.connect() as client:
        refused(client)
    with server.connect(origin=None, headers={"users-api-key": API_KEY}) as client:
        assert client.ask(eventType=10, message="service")["message"] == "service"


def test_a_pattern_cannot_hang_the_server(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """Exponential for an engine that backtracks."""
    server = launch(tls=is_tls, websocket={"approvedSocketDomains": ["^(a+)+$", "^(a|a)*$", "^([a-z]+)*c$"]})
    with server.connect(origin="a" * 4000 + "!") as client:
        refused(client)
    with server.connect(origin="a" * 4000) as client:
        assert client.ask(eventType=10, message="hello")["message"] == "hello"


def test_the_operator_is_told_of_patterns_without_an_end(launch: Callable[..., ServerProcess]) -> None:
    server = launch()
    warnings = [line for line in server.log.splitlines() if "warning" in line.lower()]
    for pattern in APPROVED_DOMAINS:
        is_open = not pattern.endswith("$")
        assert any(f'"{pattern}"' in line for line in warnings) == is_open, server.log
