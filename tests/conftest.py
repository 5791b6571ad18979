"""The servers that black-box tests share, and the certificate of those that speak TLS."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop
from tornado.platform.asyncio import AsyncIOLoop

from tests.launcher import Certificate, Launcher, make_certificate
from tests.server_process import ServerProcess
from tests.wire.node_client import find_node


@pytest.fixture
def io_loop() -> Iterator[IOLoop]:
    """In place of pytest-tornado's own, which makes its loop the old way and leaves another one open."""
    loop = AsyncIOLoop(make_current=False)
    asyncio.set_event_loop(loop.asyncio_loop)
    yield loop
    asyncio.set_event_loop(None)
    loop.close(all_fds=True)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="session")
def node() -> str:
    """Node, with the packages of tests/wire/node."""
    return find_node()


@pytest.fixture(scope="module")
def launch(
    tmp_path_factory: pytest.TempPathFactory, certificate: Certificate
) -> Iterator[Callable[..., ServerProcess]]:
    launcher = Launcher(tmp_path_factory.mktemp("servers"), certificate)
    yield launcher
    launcher.stop()


@pytest.fixture(autouse=True)
def _logs_are_clean(request: pytest.FixtureRequest) -> Iterator[None]:
    """An error in a server's log fails the test that was running."""
    yield
    if "launch" in request.fixturenames:
        request.getfixturevalue("launch").check_logs()


@pytest.fixture(scope="module")
def server(launch: Launcher) -> ServerProcess:
    """A server on plain TCP."""
    return launch()


@pytest.fixture(scope="module")
def tls_server(launch: Launcher) -> ServerProcess:
    """A server under TLS."""
    return launch(tls=True)


@pytest.fixture(scope="module", params=["tcp", "tls"])
def is_tls(request: pytest.FixtureRequest) -> bool:
    """Both kinds of transport, one after the other."""
    return bool(request.param == "tls")


@pytest.fixture(scope="module")
def any_server(is_tls: bool, launch: Launcher) -> ServerProcess:
    """A server of each kind."""
    return launch(tls=is_tls)


@pytest.fixture
def connect(any_server: ServerProcess) -> Iterator[Callable[..., Any]]:
    """``any_server.connect``, but the clients are closed after the test."""
    clients = []

    def opened(**options: Any) -> Any:
        client = options.pop("server", any_server).connect(options.pop("path", "/"), **options)
        clients.append(client)
        return client

    yield opened
    for client in clients:
        client.close()
