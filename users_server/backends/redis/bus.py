"""Everything that joins nodes over Redis, put together."""

from __future__ import annotations

import secrets

from users_server.backends.redis.broker import RedisBroker
from users_server.backends.redis.cluster import ClusterServers
from users_server.backends.redis.external_input import RedisInput
from users_server.backends.redis.keys import Keys
from users_server.backends.redis.location import RedisLocation, parse_redis_url
from users_server.backends.redis.presence import RedisPresence
from users_server.backends.redis.scripts import Scripts
from users_server.backends.redis.sender import Sender
from users_server.backends.redis.servers import Servers, ServersOwner, SingleServer
from users_server.backends.redis.statistics import RedisStatistics
from users_server.core.clock import Clock
from users_server.core.interfaces import ExternalInput
from users_server.errors import ConfigError
from users_server.services.settings import BrokerSettings


class RedisBus:
    """
    The broker and the presence of one node. Nothing is connected before ``broker.start``.

    Raises:
        ConfigError: If ``settings.url`` is not one of Redis, or the prefix cannot be one.
    """

    def __init__(self, settings: BrokerSettings, node_id: str, clock: Clock) -> None:
        if set(settings.prefix) & set("{}"):
            raise ConfigError("broker.prefix", "must not contain { or }: they have a meaning in a Redis Cluster")
        location = _location("broker.url", settings.url)
        is_sharded = location.kind == "cluster"
        self._settings = settings
        self._clock = clock
        name = "".join(character for character in node_id if character.isascii() and character.isalnum())
        self._node = f"{name[:12]}-{secrets.token_hex(4)}"
        self._statistics = RedisStatistics()
        keys, scripts, node = Keys(settings.prefix), Scripts(is_sharded=is_sharded), self._node.encode()
        self._servers = make_servers(location, self, scripts, settings, clock, self._statistics, is_sharded=is_sharded)
        self._sender = Sender(self._servers, settings, clock)
        self.presence = RedisPresence(
            self._servers, self._sender, keys, scripts, node, settings, clock, self._statistics
        )
        self.broker = RedisBroker(
            self._servers,
            self._sender,
            keys,
            scripts,
            node,
            settings,
            self._statistics,
            connect=self._connect,
            disconnect=self._disconnect,
            is_sharded=is_sharded,
        )

    @property
    def statistics(self) -> RedisStatistics:
        """As of now."""
        self._statistics.waiting = self._servers.waiting
        return self._statistics

    def open_input(self, url: str) -> ExternalInput:
        """
        What other programs publish in the Redis at ``url``, which may be another one; empty for this bus' own.

        Raises:
            ConfigError: If ``url`` is not one of Redis.
        """
        location = _location("redisUrl", url or self._settings.url)
        return RedisInput(location, self._settings, self._node.encode(), self._clock, make_servers)

    def servers_changed(self) -> None:
        self.presence.wake()

    async def _connect(self) -> None:
        self._sender.is_open = True
        self._servers.start()
        await self._servers.connected(self._settings.connect_timeout_seconds)
        self.presence.start()

    async def _disconnect(self) -> None:
        await self.presence.stop()
        self._sender.is_open = False
        await self._servers.stop()


def _location(path: str, url: str) -> RedisLocation:
    try:
        return parse_redis_url(url)
    except ValueError as error:
        raise ConfigError(path, str(error)) from None


def make_servers(
    location: RedisLocation,
    owner: ServersOwner,
    scripts: Scripts,
    settings: BrokerSettings,
    clock: Clock,
    statistics: RedisStatistics,
    *,
    is_sharded: bool,
) -> Servers:
    """Those of ``location``. ``is_sharded``: channels are subscribed by sharded Pub/Sub."""
    if location.kind == "cluster":
        return ClusterServers(location, owner, scripts, settings, clock, statistics, is_sharded=is_sharded)
    return SingleServer(location, owner, scripts, settings, clock, statistics)
