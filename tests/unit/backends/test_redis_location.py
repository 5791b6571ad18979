"""URLs of Redis."""

from __future__ import annotations

import pytest

from users_server.backends.redis.location import RedisLocation, parse_redis_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://host", RedisLocation("single", (("host", 6379),))),
        ("redis://host:1/", RedisLocation("single", (("host", 1),))),
        ("rediss://[::1]:6380/15", RedisLocation("single", (("::1", 6380),), is_tls=True, database=15)),
        ("redis://[2001:db8::1]", RedisLocation("single", (("2001:db8::1", 6379),))),
        ("redis://:p%40ss%2Fw@h/2", RedisLocation("single", (("h", 6379),), password="p@ss/w", database=2)),
        ("redis://ann:s%3A@h", RedisLocation("single", (("h", 6379),), username="ann", password="s:")),
        (
            "redis+sentinel://u:p@a:1,b/main/3",
            RedisLocation("sentinel", (("a", 1), ("b", 26379)), username="u", password="p", service="main", database=3),
        ),
        ("rediss+sentinel://a/ma%20in", RedisLocation("sentinel", (("a", 26379),), is_tls=True, service="ma in")),
        ("redis+cluster://a:1,b:2,[::1]:3", RedisLocation("cluster", (("a", 1), ("b", 2), ("::1", 3)))),
        ("rediss+cluster://a/0", RedisLocation("cluster", (("a", 6379),), is_tls=True)),
    ],
)
def test_good_urls(url: str, expected: RedisLocation) -> None:
    assert parse_redis_url(url) == expected


@pytest.mark.parametrize(
    "url",
    [
        "",
        "redis:",
        "redis://",
        "http://host",
        "redis+unix://secret@host",
        "redis://secret:secret@host:port",
        "redis://:secret@host:0",
        "redis://:secret@host:65536",
        "redis://:secret@host:٣",
        "redis://:secret@host/-1",
        "redis://:secret@host/0/1",
        "redis://:secret@host/zero",
        "redis://:secret@host/12345",
        "redis://:secret@host,other",
        "redis://:secret@host?db=1",
        "redis://:sec#ret@host",
        "redis://:secret@[::1",
        "redis://:secret@[::1]6379",
        "redis+sentinel://:secret@host",
        "redis+sentinel://:secret@host/main/x",
        "redis+cluster://:secret@host/1",
        "redis+cluster://:secret@host,,other",
        "redis://:secret@ host",
    ],
)
def test_bad_urls_are_refused_without_their_secret(url: str) -> None:
    with pytest.raises(ValueError) as error:
        parse_redis_url(url)
    assert "secret" not in str(error.value)
    assert "sec" not in str(error.value)


def test_no_secret_is_shown() -> None:
    location = parse_redis_url("redis://ann:secret@[::1]:1,h/0".replace(",h", ""))
    assert "secret" not in repr(location)
    assert location.hosts == "[::1]:1"
