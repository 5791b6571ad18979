"""Calls to others over HTTP: what they get, and every way in which they may fail."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from tests.application_server import Application
from users_server.errors import BackendError, Overloaded
from users_server.web.outgoing import JSONPoster


@asynccontextmanager
async def poster(**options: int) -> AsyncIterator[JSONPoster]:
    opened = JSONPoster(**options)
    try:
        yield opened
    finally:
        await opened.close()


async def post(client: JSONPoster, url: str, *, seconds: float = 5.0, size: int = 1000) -> tuple[int, bytes]:
    return await client.post(url, b'{"a":1}', {"X-Mine": "yes"}, timeout_seconds=seconds, max_answer_bytes=size)


@pytest.mark.gen_test
async def test_a_call_and_its_answer() -> None:
    async with Application(lambda body: (422, body[::-1])) as application, poster() as client:
        assert await post(client, application.url) == (422, b'}1:"a"{')
        path, headers, body = application.requests[0]
        assert (path, body) == ("/relay", b'{"a":1}')
        assert headers["Content-Type"] == "application/json"
        assert headers["X-Mine"] == "yes"
        assert "Accept-Encoding" not in headers


@pytest.mark.gen_test
async def test_redirects_are_not_followed() -> None:
    async with Application(lambda body: (307, b"")) as application, poster() as client:
        assert (await post(client, application.url))[0] == 307
        assert len(application.requests) == 1


@pytest.mark.gen_test
async def test_an_answer_that_does_not_come() -> None:
    async with Application() as application, poster() as client:
        application.hold()
        with pytest.raises(BackendError, match="in time"):
            await post(client, application.url, seconds=0.05)


@pytest.mark.gen_test
@pytest.mark.parametrize("size", [1001, 5000])
async def test_an_answer_that_is_too_large(size: int) -> None:
    async with Application(lambda body: (200, b"x" * size)) as application:
        async with poster(max_answer_bytes=2000) as client:
            with pytest.raises(BackendError):
                await post(client, application.url)


@pytest.mark.gen_test
async def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    async with poster() as client:
        with pytest.raises(BackendError, match="reached"):
            await post(client, f"http://127.0.0.1:{port}/")
        with pytest.raises(BackendError, match="reached"):
            await post(client, "http://name.invalid/")


@pytest.mark.gen_test
async def test_calls_are_bounded_and_wait_for_their_turn() -> None:
    async with Application() as application, poster(max_connections=1, max_waiting=2) as client:
        application.hold()
        calls = [asyncio.ensure_future(post(client, application.url)) for _ in range(2)]
        await application.wait_for(1)
        with pytest.raises(Overloaded):
            await post(client, application.url)
        application.release()
        assert [status for status, _ in await asyncio.gather(*calls)] == [200, 200]
        assert (await post(client, application.url))[0] == 200


@pytest.mark.gen_test
async def test_a_closed_client_makes_no_calls() -> None:
    async with Application() as application, poster() as client:
        await client.close()
        with pytest.raises(BackendError):
            await post(client, application.url)
        assert application.requests == []
