"""Calls of endpoints over real sockets."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from tests.hook_receiver import TAKEN, Hook, HookReceiver, status
from tests.launcher import Certificate
from users_server.core.clock import SystemClock
from users_server.services.webhooks import CallFailed
from users_server.web.endpoints import EndpointClient
from users_server.web.endpoints.client import parse_url

CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nX: content-length\r\n\r\n2\r\nok\r\n0\r\n\r\n"


def on_loop(test: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(test())  # type: ignore[arg-type]


@asynccontextmanager
async def a_client(**options: Any) -> AsyncIterator[EndpointClient]:
    client = EndpointClient(SystemClock(), **{"allows_private": True, "max_idle": 10, **options})
    try:
        yield client
    finally:
        client.close()


async def call(client: EndpointClient, url: str, *, timeout_seconds: float = 5.0, body: bytes = b"{}") -> int:
    return await client.post(url, body, {"webhook-id": "x"}, timeout_seconds=timeout_seconds)


async def failure(client: EndpointClient, url: str, *, timeout_seconds: float = 5.0) -> str:
    with pytest.raises(CallFailed) as caught:
        await call(client, url, timeout_seconds=timeout_seconds)
    return caught.value.message


async def all_at_once(receiver: HookReceiver, client: EndpointClient, count: int) -> list[int]:
    return await asyncio.gather(*(call(client, receiver.url) for _ in range(count)))


def test_a_connection_is_used_again() -> None:
    async def test() -> None:
        async with HookReceiver() as receiver, a_client() as client:
            for _ in range(3):
                assert await call(client, receiver.url + "?a=1", body=b'{"a":1}') == 200
            assert receiver.connections == 1
            hook = receiver.hooks[0]
            assert (hook.path, hook.body) == ("/hook?a=1", '{"a":1}')
            assert hook.headers["host"] == f"localhost:{receiver.port}"
            assert hook.headers["webhook-id"] == "x"

    on_loop(test)


@pytest.mark.parametrize(
    ("answer", "expected", "connections"),
    [
        (CHUNKED, 200, 1),
        (b"HTTP/1.1 204 No Content\r\nX: content-length\r\n\r\n", 204, 1),
        (b"HTTP/1.1 100 Continue\r\n\r\n" + TAKEN, 200, 1),
        (b"HTTP/1.1 200 OK\r\n\r\nuntil the end", 200, 2),
        (b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok", 200, 2),
        (b"HTTP/1.0 201 OK\r\nContent-Length: 2\r\n\r\nok", 201, 2),
        (TAKEN + TAKEN, 200, 2),
        (b"HTTP/1.1 500 Oh\r\nContent-Length: 2\r\n\r\nno", 500, 1),
        (b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", 302, 1),
    ],
)
def test_the_status_of_every_form_of_answer(answer: bytes, expected: int, connections: int) -> None:
    async def test() -> None:
        async with HookReceiver(lambda _: answer) as receiver, a_client() as client:
            assert [await call(client, receiver.url) for _ in range(2)] == [expected] * 2
            assert receiver.connections == connections
            assert len(receiver.hooks) == 2

    on_loop(test)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"SSH-2.0-OpenSSH\r\n content-length", "not answer in HTTP/1.1"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 20_000 + b"\r\ncontent-length: 0\r\n\r\n", "too large"),
        (b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\nX: content-length\r\n\r\n", "not answer"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\nConnection: close\r\n\r\nonly this", "closed the connection"),
        (None, "closed the connection"),
    ],
)
def test_what_is_no_answer(answer: bytes | None, message: str) -> None:
    async def test() -> None:
        async with HookReceiver(lambda _: answer) as receiver, a_client() as client:
            assert message in await failure(client, receiver.url)

    on_loop(test)


def test_a_body_is_read_no_further_than_its_bound() -> None:
    async def test() -> None:
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: 100000000\r\n\r\n" + b"x" * 200_000
        async with HookReceiver(lambda _: answer) as receiver, a_client() as client:
            assert await call(client, receiver.url) == 200
            assert await call(client, receiver.url) == 200
            assert receiver.connections == 2

    on_loop(test)


def test_an_answer_that_takes_too_long() -> None:
    async def test() -> None:
        async def never(_: Hook) -> bytes:
            await asyncio.Event().wait()
            return TAKEN

        async with HookReceiver(never) as receiver, a_client() as client:
            assert "within 0.2 s" in await failure(client, receiver.url, timeout_seconds=0.2)
            receiver.answer = lambda _: b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nslow"
            assert "within 0.2 s" in await failure(client, receiver.url, timeout_seconds=0.2)
            receiver.answer = lambda _: TAKEN
            assert await call(client, receiver.url) == 200
            assert receiver.connections == 3

    on_loop(test)


def test_a_kept_connection_that_is_closed_meanwhile_costs_no_delivery() -> None:
    async def test() -> None:
        async with HookReceiver() as receiver, a_client() as client:
            assert await call(client, receiver.url) == 200
            # closed at the moment at which the next request comes, as a server does whose patience ends just then
            answers = iter([None, TAKEN])
            receiver.answer = lambda _: next(answers)
            assert await call(client, receiver.url) == 200
            assert receiver.connections == 2
            answers = iter([None, None, TAKEN])
            assert "closed" in await failure(client, receiver.url)
            assert receiver.connections == 3

    on_loop(test)


def test_so_many_idle_connections_are_kept_and_not_more() -> None:
    async def test() -> None:
        async def later(_: Hook) -> bytes:
            await asyncio.sleep(0.05)
            return TAKEN

        async with HookReceiver(later) as receiver, a_client(max_idle=3) as client:
            assert await all_at_once(receiver, client, 8) == [200] * 8
            assert receiver.connections == 8
            assert await all_at_once(receiver, client, 8) == [200] * 8
            assert receiver.connections == 13

    on_loop(test)


def test_nobody_is_there() -> None:
    async def test() -> None:
        async with HookReceiver() as receiver, a_client() as client:
            url = receiver.url
        assert "No connection to the endpoint" in await failure(client, url)

    on_loop(test)


def test_a_redirect_is_an_answer_and_leads_nowhere() -> None:
    async def test() -> None:
        async with HookReceiver() as inside, a_client() as client:
            answer = f"HTTP/1.1 307 Go\r\nLocation: {inside.url}\r\nContent-Length: 0\r\n\r\n".encode()
            async with HookReceiver(lambda _: answer) as outside:
                assert await call(client, outside.url) == 307
            assert not inside.hooks

    on_loop(test)


def test_tls_with_a_certificate_that_is_trusted_and_of_the_right_name(certificate: Certificate) -> None:
    async def test() -> None:
        server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        server.load_cert_chain(certificate.certificate, certificate.key)
        trusting = ssl.create_default_context(cafile=str(certificate.certificate))
        async with HookReceiver(tls=server) as receiver:
            async with a_client(tls=trusting) as client:
                assert [await call(client, receiver.url) for _ in range(2)] == [200, 200]
                assert receiver.connections == 1
            async with a_client() as client:
                assert "certificate is not valid" in await failure(client, receiver.url)
            async with a_client(tls=trusting, resolve=lambda *_: ["127.0.0.1"]) as client:
                assert "certificate is not valid" in await failure(client, f"https://other.test:{receiver.port}/")

    on_loop(test)


def test_a_private_address_is_not_called() -> None:
    async def test() -> None:
        async with HookReceiver() as receiver, a_client(allows_private=False) as client:
            for host in ("localhost", "127.0.0.1", "2130706433", "0x7f.1", "[::ffff:127.0.0.1]", "[::1]", "0.0.0.0"):
                assert "not public" in await failure(client, f"http://{host}:{receiver.port}/"), host
            assert not receiver.connections

    on_loop(test)


def test_a_name_that_changes_its_address_leads_nowhere_else() -> None:
    """DNS rebinding: a public address when it is checked, a private one a moment later."""

    async def test() -> None:
        asked = []
        answers = iter([["127.0.0.1", "93.184.216.34"], ["127.0.0.1"], ["93.184.216.34", "10.0.0.1"]])

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            return next(answers)

        async with HookReceiver() as receiver, a_client(allows_private=False, resolve=resolve) as client:
            for _ in range(3):
                assert "not public" in await failure(client, f"http://rebind.test:{receiver.port}/")
            assert asked == ["rebind.test"] * 3
            assert not receiver.connections

    on_loop(test)


def test_the_connection_goes_to_the_address_that_was_looked_up() -> None:
    async def test() -> None:
        asked = []

        def resolve(host: str, port: int) -> list[str]:
            asked.append((host, port))
            return ["127.0.0.2", "127.0.0.1"]  # nobody listens on the first one

        async with HookReceiver() as receiver, a_client(resolve=resolve, max_idle=0) as client:
            url = f"http://some.test:{receiver.port}/"
            assert [await call(client, url) for _ in range(3)] == [200] * 3
            assert asked == [("some.test", receiver.port)]
            assert receiver.hooks[0].headers["host"] == f"some.test:{receiver.port}"

    on_loop(test)


def test_a_slow_name_server_holds_up_its_own_callers_alone() -> None:
    async def test() -> None:
        loop = asyncio.get_running_loop()
        release, asked = threading.Event(), []

        def resolve(host: str, port: int) -> list[str]:
            asked.append(host)
            if host == "slow.test":
                release.wait(10)
            return ["127.0.0.1"]

        async with HookReceiver() as receiver, a_client(resolve=resolve) as client:
            slow = f"http://slow.test:{receiver.port}/"
            calls = [loop.create_task(failure(client, slow, timeout_seconds=0.3)) for _ in range(5)]
            assert await call(client, f"http://fast.test:{receiver.port}/") == 200
            assert all("within" in message for message in await asyncio.gather(*calls))
            assert asked.count("slow.test") == 1
            release.set()
            assert await call(client, slow) == 200
            assert asked.count("slow.test") == 1

    on_loop(test)


@pytest.mark.parametrize(
    "url",
    [
        "ftp://example.com/",
        "http:///nothing",
        "http://user:secret@example.com/",
        "http://example.com:99999/",
        "http://exa mple.com/",
        "http://example.com/\r\nX: y",
        "http://exämple.com/",
        "http://[::1/",
        "//example.com",
        "",
    ],
)
def test_what_is_no_url_is_not_called(url: str) -> None:
    with pytest.raises(CallFailed) as caught:
        parse_url(url)
    assert "secret" not in caught.value.message


def test_what_a_url_says() -> None:
    target = parse_url("https://Example.com:8443/a/b?c=d#e")
    assert (target.is_tls, target.host, target.port, target.path) == (True, "example.com", 8443, "/a/b?c=d")
    assert parse_url("http://[2001:db8::1]/").host == "2001:db8::1"
    assert parse_url("http://example.com").path == "/"
    assert "c=d" not in repr(target)


def test_a_header_cannot_bring_another() -> None:
    async def test() -> None:
        async with HookReceiver() as receiver, a_client() as client:
            with pytest.raises(ValueError, match="line break"):
                await client.post(receiver.url, b"", {"authorization": "x\r\nhost: y"}, timeout_seconds=1)

    on_loop(test)


def test_answers_that_fail_keep_nothing_open() -> None:
    async def test() -> None:
        async with HookReceiver(lambda _: status(500)) as receiver, a_client() as client:
            assert await all_at_once(receiver, client, 5) == [500] * 5

    on_loop(test)
