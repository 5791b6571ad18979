"""RFC 6455, section 4: the opening handshake, right and wrong, and the time that it may take."""

from __future__ import annotations

import base64
import socket
from collections.abc import Callable

import pytest

from tests.raw_client import TEXT, Gone, RawClient, build_frame
from tests.server_process import ORIGIN, ServerProcess

ECHO = b'{"eventType":10,"message":"early"}'


def answer(server: ServerProcess, path: str = "/", **options: object) -> tuple[int, dict[str, str]]:
    headers = {"Origin": ORIGIN, **options.pop("headers", {})}  # type: ignore[dict-item]
    with server.dial() as client:
        response = client.request(path, headers=headers, **options)  # type: ignore[arg-type]
        return response.status, dict(response.headers)


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({}, id="plain"),
        pytest.param({"Connection": "keep-alive, Upgrade"}, id="firefox"),
        pytest.param({"Connection": "upgrade", "Upgrade": "WebSocket"}, id="letters-of-another-case"),
        pytest.param({"Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"}, id="extension"),
        pytest.param({"Sec-WebSocket-Extensions": "permessage-foo; x=1, bar"}, id="unknown-extension"),
        pytest.param({"User-Agent": "x" * 1000, "Cookie": "a=b; c=d"}, id="other-headers"),
    ],
)
def test_handshakes_that_succeed(any_server: ServerProcess, headers: dict[str, str]) -> None:
    with any_server.connect(headers=headers) as client:
        assert client.ask(eventType=10, message="hello") == {"eventType": 10, "message": "hello"}


def test_a_protocol_that_the_server_does_not_speak_is_not_agreed_to(any_server: ServerProcess) -> None:
    with any_server.dial() as client:
        response = client.handshake(headers={"Origin": ORIGIN, "Sec-WebSocket-Protocol": "soap, wamp"})
        assert "sec-websocket-protocol" not in response.headers


def test_a_query_is_no_other_path(any_server: ServerProcess) -> None:
    with any_server.connect("/?transport=websocket&x=%20") as client:
        assert client.ask(eventType=10, message="hello")["message"] == "hello"


@pytest.mark.parametrize("version", ["8", "7", "0", "14", "nonsense", None])
def test_another_version(any_server: ServerProcess, version: str | None) -> None:
    status, headers = answer(any_server, headers={"Sec-WebSocket-Version": version})
    assert status == 426
    assert headers["sec-websocket-version"] == "13"


@pytest.mark.parametrize("key", [None, "", "short", "not base64 at all!!!!!!!", base64.b64encode(b"x" * 15).decode()])
def test_a_key_that_is_none(any_server: ServerProcess, key: str | None) -> None:
    status, _ = answer(any_server, headers={"Sec-WebSocket-Key": key})
    assert status == 400


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param({"Upgrade": None, "Connection": None}, id="plain-get"),
        pytest.param({"Upgrade": None}, id="no-upgrade"),
        pytest.param({"Connection": "close"}, id="no-connection"),
        pytest.param({"Upgrade": "h2c"}, id="another-upgrade"),
    ],
)
def test_requests_that_do_not_upgrade(any_server: ServerProcess, headers: dict[str, str | None]) -> None:
    assert answer(any_server, headers=headers)[0] in (400, 426)


def test_a_plain_get_is_told_to_upgrade(any_server: ServerProcess) -> None:
    bare = {"Upgrade": None, "Connection": None, "Sec-WebSocket-Key": None, "Sec-WebSocket-Version": None}
    status, headers = answer(any_server, headers=bare)
    assert status == 426
    assert headers["upgrade"].lower() == "websocket"


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "HEAD", "OPTIONS", "PATCH"])
def test_other_methods(any_server: ServerProcess, method: str) -> None:
    assert answer(any_server, method=method, headers={"Content-Length": "0"})[0] in (400, 405)


@pytest.mark.parametrize("path", ["/nowhere", "//", "/index.html", "/conformance/", "/../", "/%2e%2e/etc/passwd"])
def test_another_path(any_server: ServerProcess, path: str) -> None:
    assert answer(any_server, path)[0] == 404


def test_the_path_is_the_operators(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, websocket={"path": "/socket"})
    assert answer(server, "/socket")[0] == 101
    assert answer(server, "/")[0] == 404


def test_one_port_for_all(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    """The same number for http.port and websocket.port serves both on one."""
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    server = launch(tls=is_tls, http={"port": port}, websocket={"port": port})
    assert server.websocket_port == server.http_port == port
    with server.connect() as client:
        server.admin()
        assert client.read_event() == {"eventType": 1, "username": "chief"}
    assert answer(server, "/nowhere")[0] == 404


def test_http_1_0(any_server: ServerProcess) -> None:
    assert answer(any_server, version="HTTP/1.0")[0] in (400, 426, 505)


@pytest.mark.parametrize(
    "data", [b"\r\n\r\n", b"NONSENSE\r\n\r\n", b"GET / HTTP/9.9\r\n\r\n", b"\x16\x03\x01\x02" * 50]
)
def test_what_is_not_http(any_server: ServerProcess, data: bytes) -> None:
    with any_server.dial() as client:
        client.send(data)
        client.end_input()
        client.drain()
    with any_server.connect() as witness:
        assert witness.ask(eventType=10, message="here")["message"] == "here"


def test_headers_have_a_limit(any_server: ServerProcess) -> None:
    with any_server.dial() as client:
        try:
            response = client.request(headers={f"X-Header-{number}": "x" * 1000 for number in range(200)})
        except Gone:
            return
        assert response.status in (400, 413, 431)


def test_messages_that_come_with_the_handshake_are_not_lost(connect: Callable[..., RawClient]) -> None:
    client = connect(trailing=build_frame(TEXT, ECHO) * 3)
    for _ in range(3):
        assert client.read_event()["message"] == "early"
    assert client.ask(eventType=10, message="next")["message"] == "next", "and each was read once"


def test_half_a_message_that_comes_with_the_handshake(connect: Callable[..., RawClient]) -> None:
    frame = build_frame(TEXT, ECHO)
    client = connect(trailing=frame[:9])
    client.send(frame[9:])
    assert client.read_event()["message"] == "early"
    assert client.ask(eventType=10, message="next")["message"] == "next"


def test_a_large_message_that_comes_with_the_handshake(connect: Callable[..., RawClient]) -> None:
    message = b'{"eventType":10,"message":"%s"}' % (b"x" * 60000)
    client = connect(trailing=build_frame(TEXT, message) * 4)
    for _ in range(4):
        assert len(client.read_event()["message"]) == 60000
    assert client.ask(eventType=10, message="next")["message"] == "next"


def test_a_handshake_in_octets(any_server: ServerProcess) -> None:
    lines = (
        "GET / HTTP/1.1",
        "Host: localhost",
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        f"Origin: {ORIGIN}",
    )
    with any_server.dial() as client:
        client.send("\r\n".join([*lines, "", ""]).encode() + build_frame(TEXT, ECHO), chop=1)
        response = client.read_response()
        assert response.status == 101
        assert response.headers["sec-websocket-accept"] == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
        assert client.read_event()["message"] == "early"


@pytest.fixture(scope="module")
def impatient(launch: Callable[..., ServerProcess], is_tls: bool) -> ServerProcess:
    return launch(tls=is_tls, websocket={"handshakeTimeoutSeconds": 0.5})


def test_a_client_that_says_nothing_is_dropped(impatient: ServerProcess) -> None:
    with socket.create_connection(("127.0.0.1", impatient.websocket_port), timeout=10) as silent:
        assert silent.recv(1) == b""


def test_a_client_that_dawdles_is_dropped(impatient: ServerProcess) -> None:
    """An octet now and then must not keep a slot of the server."""
    with impatient.dial() as client:
        head = b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: "
        client.send(head)
        for _ in range(100):
            if client.has_ended(0.1):
                return
            client.send(b"x")
    pytest.fail("ten seconds for a handshake")


def test_a_client_that_is_done_in_time_stays(impatient: ServerProcess) -> None:
    with impatient.connect() as client:
        assert client.is_silent(1.0)
        assert client.ask(eventType=10, message="still here")["message"] == "still here"


def test_both_addresses_of_localhost(any_server: ServerProcess) -> None:
    if not socket.has_ipv6:
        pytest.skip("no IPv6 here")
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        pytest.skip("no IPv6 loopback here")
    with any_server.connect(host="::1") as client:
        assert client.ask(eventType=10, message="six")["message"] == "six"
