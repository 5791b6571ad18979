"""Every acceptance test runs on both stores."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.mongodb_server import MongoServer, find_own_mongodb
from tests.s3_server import S3Server
from tests.server_process import ServerProcess


@pytest.fixture(scope="session")
def mongo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[MongoServer]:
    """A MongoDB that tests may kill, as long as they start it again."""
    found = find_own_mongodb(tmp_path_factory.mktemp("mongodb"))
    found.start()
    yield found
    found.stop()


@pytest.fixture(scope="session")
def s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Server]:
    """An S3 that tests leave alone."""
    server = S3Server(tmp_path_factory.mktemp("s3"))
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="module", params=["sqlite", "mongodb"])
def store(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def serve(
    store: str, request: pytest.FixtureRequest, launch: Callable[..., ServerProcess]
) -> Callable[..., ServerProcess]:
    """Starts a server of its own on a new database of ``store``."""

    def start(**sections: Any) -> ServerProcess:
        if store == "mongodb":
            sections["database"] = {"url": request.getfixturevalue("mongo").database_url()}
        return launch(fresh=True, arguments=(), **sections)

    return start


@pytest.fixture(scope="module")
def shared(serve: Callable[..., ServerProcess]) -> ServerProcess:
    """One server for the tests that do no harm."""
    return serve()
