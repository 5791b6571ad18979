"""Commands that work on the configured database, whether a server runs or not."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from users_server.cli.edge import read_config
from users_server.core.accounts import Privilege
from users_server.core.messages import Identity
from users_server.logs import configure_logging

if TYPE_CHECKING:
    from users_server.app import Services

T = TypeVar("T")

OPERATOR = Identity(user_id="0" * 24, username="operator", privileges=Privilege.SUPER_ADMIN)
"""Who has a shell on the server's machine may do everything."""


def with_database(config_path: Path | None, work: Callable[[Services], Awaitable[T]]) -> T:
    """What ``work`` returns for the services of the configuration, over a store that is open meanwhile."""
    from users_server.app import open_services  # here, so that other commands start at once

    config = read_config(config_path)
    configure_logging("warning", config.logging.format)

    async def run() -> T:
        async with open_services(config) as services:
            return await work(services)

    return asyncio.run(run())
