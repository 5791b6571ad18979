"""An import into the configured store, or its rehearsal."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from users_server.app.backends import open_storage, open_store
from users_server.backends.sqlite import SQLiteStore
from users_server.config import Config
from users_server.core.clock import SystemClock
from users_server.core.imports import ImportSource
from users_server.errors import ConfigError
from users_server.services.importing import (
    COLLECTIONS,
    ContentFolder,
    Importer,
    ImportReport,
    ImportSettings,
    Rehearsal,
    RehearsalStorage,
)
from users_server.services.importing.report import Write
from users_server.services.importing.target import ContentTarget, ImportTarget


@dataclass(frozen=True, slots=True)
class ImportOptions:
    """
    What the operator wants.

    Attributes:
        is_applied: False for a rehearsal, which changes nothing but the schema of a store that is new or older.
        files: A folder with the contents of files.
        from_start: Look at all records again, instead of those that no earlier run has seen.
        write: Is given the lines of the detailed report.
    """

    is_applied: bool
    files: Path | None
    with_sessions: bool
    from_start: bool
    write: Write


@dataclass(frozen=True, slots=True)
class Import:
    """An import that is ready to run. ``total`` is how many records there are, of which the report has some already."""

    importer: Importer
    report: ImportReport
    total: int


@asynccontextmanager
async def open_webinate_import(config: Config, url: str, options: ImportOptions) -> AsyncIterator[Import]:
    """
    An import from the database of the original server.

    Raises:
        ConfigError: If ``url`` is none, or is that of the store itself.
        StartupError, StoreUnavailable: As :meth:`users_server.app.Server.start`, and if the source is away.
    """
    source = _webinate_source(config, url)
    clock = SystemClock()
    async with AsyncExitStack() as stack:
        store, storage = open_store(config), open_storage(config)
        stack.push_async_callback(store.close)
        await store.open()
        stack.push_async_callback(source.close)
        await source.open()
        target: ImportTarget = store
        contents: ContentTarget = storage
        if options.is_applied:
            stack.push_async_callback(storage.close)
            await storage.open()
        else:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="users-server-"))
            scratch = SQLiteStore(Path(folder) / "rehearsal.db")
            stack.push_async_callback(scratch.close)
            await scratch.open()
            target, contents = Rehearsal(store, scratch), RehearsalStorage()
        state: Any = None if options.from_start else await store.get_import(source.name)
        report = ImportReport((state or {}).get("collections"), options.write)
        importer = Importer(
            source, target, contents, ContentFolder(options.files), report, _settings(config, options), clock
        )
        yield Import(importer, report, sum([await source.count(name) for name in COLLECTIONS]))


def _webinate_source(config: Config, url: str) -> ImportSource:
    from users_server.backends.mongodb.location import parse_mongodb_url  # here, because the driver takes its time
    from users_server.backends.mongodb.webinate import WebinateSource

    try:
        source = WebinateSource(url)
        here = parse_mongodb_url(url)
    except ValueError as error:
        raise ConfigError("", f"The URL of the source {error}") from None
    if config.database.url.startswith(("mongodb://", "mongodb+srv://")):
        there = parse_mongodb_url(config.database.url)
        if (here.hosts, here.database) == (there.hosts, there.database):
            raise ConfigError("database.url", "expected another database than the source, which is only read")
    return source


def _settings(config: Config, options: ImportOptions) -> ImportSettings:
    return ImportSettings(
        calls_allocated=config.files.calls_allocated,
        memory_allocated=config.files.memory_allocated,
        session_lifetime_ms=config.session.lifetime_seconds * 1000,
        activation_key_seconds=config.account_keys.activation_seconds,
        with_sessions=options.with_sessions,
    )
