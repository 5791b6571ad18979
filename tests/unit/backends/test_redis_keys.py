"""Names in Redis."""

from __future__ import annotations

import pytest

from users_server.backends.redis import RedisBus
from users_server.backends.redis.keys import Keys, slot_of
from users_server.core.clock import SystemClock
from users_server.errors import ConfigError
from users_server.services.settings import BrokerSettings


@pytest.mark.parametrize(
    ("key", "slot"), [(b"123456789", 12739), (b"foo", 12182), (b"{foo}bar", 12182), (b"a{}b", slot_of(b"a{}b"))]
)
def test_slots_are_those_of_redis(key: bytes, slot: int) -> None:
    assert slot_of(key) == slot


@pytest.mark.parametrize("channel", ["room", "a}b", "}", "{x}", "a/b", "ß", "{", "a:b"])
def test_all_of_a_channel_is_in_one_slot(channel: str) -> None:
    keys = Keys("prefix:").of("app", channel)
    names = [keys.meta, keys.stream, keys.claims, keys.users, keys.versions, keys.changed(b"node")]
    assert {slot_of(name) for name in names} == {keys.slot} == {slot_of(keys.live)}
    assert all(name.startswith(b"prefix:") for name in names)


def test_no_two_channels_share_a_name() -> None:
    keys = Keys("")
    pairs = [("a", "b/c"), ("a", "b"), ("ab", "c"), ("a", "b}:meta"), ("", "control"), ("a", "}:meta")]
    assert len({keys.of(app, channel).live for app, channel in pairs}) == len(pairs)


def test_a_prefix_has_no_braces() -> None:
    with pytest.raises(ConfigError):
        RedisBus(BrokerSettings(url="redis://h", prefix="a{b}"), "node", SystemClock())


def test_a_bad_url_is_a_mistake_in_the_configuration() -> None:
    with pytest.raises(ConfigError) as error:
        RedisBus(BrokerSettings(url="redis://:secret@h:x"), "node", SystemClock())
    assert error.value.path == "broker.url"
    assert "secret" not in str(error.value)
