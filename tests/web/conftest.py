"""One site for each test; a test that needs other settings awaits one of its own from ``make_site``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.contract.conftest import database, mongodb_database, mongodb_server, sqlite_database
from tests.contract.databases import Database
from tests.web.site import Site, SiteMaker

__all__ = ["database", "mongodb_database", "mongodb_server", "sqlite_database"]


@pytest.fixture
def make_site(io_loop: IOLoop, tmp_path: Path) -> Iterator[SiteMaker]:
    sites: list[Site] = []

    async def make(**settings: Any) -> Site:
        directory = tmp_path / f"site{len(sites)}"
        directory.mkdir()
        site = Site(directory, **settings)
        sites.append(site)
        await site.start()
        return site

    yield make
    for site in sites:
        io_loop.run_sync(site.stop)


@pytest.fixture
def site(io_loop: IOLoop, make_site: SiteMaker) -> Site:
    started: Site = io_loop.run_sync(make_site)
    return started


@pytest.fixture
def make_any_site(make_site: SiteMaker, database: Database) -> SiteMaker:
    """As ``make_site``, once on each store."""

    async def make(**settings: Any) -> Site:
        return await make_site(store_of=database.store, **settings)

    return make


@pytest.fixture
def any_site(io_loop: IOLoop, make_any_site: SiteMaker) -> Site:
    """As ``site``, once on each store."""
    started: Site = io_loop.run_sync(make_any_site)
    return started
