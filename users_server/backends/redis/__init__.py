"""Joins nodes over Redis: one server, one with Sentinel, or a Cluster. The only importer of a Redis library."""

from users_server.backends.redis.bus import RedisBus
from users_server.backends.redis.location import parse_redis_url
from users_server.backends.redis.statistics import RedisStatistics

__all__ = ["RedisBus", "RedisStatistics", "parse_redis_url"]
