"""One site for each test; a test that needs other settings awaits one of its own from ``make_site``."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.web.site import Site, SiteMaker


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
