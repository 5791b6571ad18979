"""
A real server that speaks MongoDB's protocol, for tests.

``USERS_SERVER_TEST_MONGODB`` is the URL of one that runs already. Else one is started: the FerretDB program that
``USERS_SERVER_TEST_FERRETDB`` names, or ``mongod`` or ``ferretdb`` from ``PATH``. ``.ci/install-ferretdb.sh`` builds a
FerretDB.
"""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import pymongo
from pymongo.errors import PyMongoError

from tests.child_server import ChildServer
from tests.missing import missing


class MongoServer(ChildServer):
    """``mongod`` or ``ferretdb``. Started again, it has the same data."""

    @property
    def url(self) -> str:
        """Without a database; see :meth:`database_url`."""
        return f"mongodb://127.0.0.1:{self.port}/"

    def database_url(self, name: str | None = None) -> str:
        """The URL of the database ``name``, by default of one that nobody used before."""
        return _with_database(self.url, name)

    def _command(self, port: int) -> Sequence[str]:
        if self._program.name.startswith("mongod"):
            return [str(self._program), "--bind_ip=127.0.0.1", f"--port={port}", f"--dbpath={self._directory}"]
        return [
            str(self._program),
            "--handler=sqlite",
            f"--sqlite-url=file:{self._directory}/",
            "--telemetry=disable",
            f"--listen-addr=127.0.0.1:{port}",
            "--debug-addr=-",
            f"--state-dir={self._directory}",
        ]

    def _answers(self, port: int) -> bool:
        client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(
            f"mongodb://127.0.0.1:{port}/", serverSelectionTimeoutMS=500, heartbeatFrequencyMS=500
        )
        with client:
            try:
                client.admin.command("ping")
            except PyMongoError:
                return False
        return True


class RunningMongoServer:
    """The one of ``USERS_SERVER_TEST_MONGODB``: it is used, but neither started nor ended."""

    def __init__(self, url: str) -> None:
        self.url = url

    def database_url(self, name: str | None = None) -> str:
        return _with_database(self.url, name)

    def start(self) -> None:
        """Nothing."""

    def stop(self) -> None:
        """Nothing."""


def find_mongodb(directory: Path) -> MongoServer | RunningMongoServer:
    """
    A server for tests that leave it alone; call ``start`` and ``stop``. Skips the test where there is none.

    On CI a missing server fails the test instead.
    """
    url = os.environ.get("USERS_SERVER_TEST_MONGODB")
    return RunningMongoServer(url) if url else find_own_mongodb(directory)


def find_own_mongodb(directory: Path) -> MongoServer:
    """As :func:`find_mongodb`, but always one of this test's own, which may be killed."""
    return MongoServer(_find_program(), directory)


def drop_database(url: str) -> None:
    """Remove the database that ``url`` names, and everything in it."""
    client: pymongo.MongoClient[dict[str, Any]] = pymongo.MongoClient(url, serverSelectionTimeoutMS=5000)
    with client:
        client.drop_database(client.get_default_database().name)


def _find_program() -> Path:
    named = os.environ.get("USERS_SERVER_TEST_FERRETDB")
    found = named or shutil.which("mongod") or shutil.which("ferretdb")
    if not found or not shutil.which(found):
        missing(
            f"USERS_SERVER_TEST_FERRETDB names {named}, which is not a program"
            if named
            else "no MongoDB: install mongod, or run .ci/install-ferretdb.sh and put ferretdb on PATH, "
            "or set USERS_SERVER_TEST_FERRETDB (a program) or USERS_SERVER_TEST_MONGODB (a URL)"
        )
    return Path(found).absolute()


def _with_database(url: str, name: str | None) -> str:
    parts = urlsplit(url)
    return urlunsplit(parts._replace(path=f"/{name or f'users_test_{secrets.token_hex(6)}'}"))
