"""Which store and which bus a configuration names. Those that need a library of their own are loaded when named."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Protocol

from users_server.backends.local_files import LocalFileStorage
from users_server.backends.memory import MemoryBroker, MemoryHistory, MemoryPresence
from users_server.backends.sqlite import SQLiteStore
from users_server.config import Config
from users_server.core.clock import Clock
from users_server.core.files import FileStorage
from users_server.core.interfaces import Broker, ExternalInput, History, PresenceManager, Store
from users_server.errors import ConfigError
from users_server.services.content_settings import S3Settings
from users_server.services.settings import BrokerSettings

ALONE = "memory://"


class ConfiguredStore(Store, Protocol):
    """A store that can keep the histories of channels, too."""

    def history(self, clock: Clock | None = None) -> History: ...


@dataclass(frozen=True, slots=True)
class Bus:
    """
    What joins nodes.

    Attributes:
        open_input: As :attr:`users_server.protocols.base.Foundation.open_input`.
        figures: What the broker has counted, by name.
    """

    broker: Broker
    presence: PresenceManager
    open_input: Callable[[str], ExternalInput]
    figures: Callable[[], Mapping[str, int]] = dict


def new_node_id() -> str:
    """Of a process; no other one in the cluster has it."""
    return secrets.token_hex(8)


def open_store(config: Config) -> ConfiguredStore:
    """The configured store, not opened yet. Raises :class:`ConfigError` for a URL that no backend knows."""
    url = config.database.url
    if url.startswith("sqlite:"):
        return SQLiteStore(url)
    if url.startswith(("mongodb://", "mongodb+srv://")):
        from users_server.backends.mongodb import MongoStore

        return MongoStore(url)
    raise ConfigError("database.url", "expected sqlite:///FILE or mongodb://HOST/NAME")


def open_storage(config: Config) -> FileStorage:
    """The configured storage of files, not opened yet. Raises :class:`ConfigError` for one that cannot be."""
    if config.files.storage == "folder":
        return LocalFileStorage(config.files.folder)
    if config.files.storage == "s3":
        return _open_s3(config.files.s3)
    if not config.database.url.startswith(("mongodb://", "mongodb+srv://")):
        raise ConfigError("files.storage", 'expected "folder", because database.url is no MongoDB', '"gridfs"')
    from users_server.backends.mongodb import GridFileStorage

    return GridFileStorage(config.database.url)


def _open_s3(settings: S3Settings) -> FileStorage:
    try:
        from users_server.backends.s3 import S3FileStorage
    except ModuleNotFoundError as error:
        if error.name != "botocore":
            raise
        hint = "Install it: pip install 'users-server[s3]'"
        raise ConfigError("files.storage", 'expected the extra s3 to be installed for "s3"', hint=hint) from error
    return S3FileStorage(settings)


def _memory_history(settings: BrokerSettings, clock: Clock) -> MemoryHistory:
    return MemoryHistory(clock, max_channels=settings.history_channels, max_bytes=settings.history_bytes)


def make_bus(config: Config, node_id: str, store: ConfiguredStore, clock: Clock) -> Bus:
    """The configured bus, not started yet. Raises :class:`ConfigError` for a URL that no backend knows."""
    settings = config.broker
    if settings.url != ALONE:
        from users_server.backends.redis import RedisBus

        redis = RedisBus(settings, node_id, clock)
        return Bus(redis.broker, redis.presence, redis.open_input, lambda: asdict(redis.statistics))
    history = store.history(clock) if settings.history == "database" else _memory_history(settings, clock)
    broker = MemoryBroker(history, clock, max_waiting=settings.max_waiting)

    def open_input(url: str) -> ExternalInput:
        if not url:
            raise ConfigError("broker.url", "expected a Redis, from which other programs can be heard", f'"{ALONE}"')
        from users_server.backends.redis import RedisBus

        # nothing of it is connected but the input
        return RedisBus(replace(settings, url=url), node_id, clock).open_input("")

    return Bus(broker, MemoryPresence(broker), open_input)
