"""Keys that are sent by mail, and how many mails strangers can cause."""

from __future__ import annotations

import hashlib

import pytest

from tests.unit.services.doubles import ManualClock
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import KeyKind, OneTimeKey, User
from users_server.services.mail.limits import MailCounter
from users_server.services.one_time_keys import OneTimeKeys

USER = "a" * 24


@pytest.fixture
def keys(store: SQLiteStore, clock: ManualClock) -> OneTimeKeys:
    return OneTimeKeys(store, clock)


async def make(keys: OneTimeKeys, kind: KeyKind = KeyKind.RESET) -> tuple[OneTimeKey, str]:
    record, key = keys.new(kind, USER, 60)
    await keys.put(record)
    return record, key


@pytest.mark.gen_test
async def test_only_the_hash_is_kept(keys: OneTimeKeys) -> None:
    record, key = await make(keys)
    assert record.key_hash == hashlib.sha256(key.encode()).hexdigest()
    assert key not in repr(record)
    assert len({keys.new(KeyKind.RESET, USER, 60)[1] for _ in range(100)}) == 100


@pytest.mark.gen_test
async def test_a_key_is_found_by_its_owner_kind_and_text(keys: OneTimeKeys) -> None:
    record, key = await make(keys)
    assert await keys.find(KeyKind.RESET, USER, key) == record
    assert await keys.find(KeyKind.ACTIVATION, USER, key) is None
    assert await keys.find(KeyKind.RESET, "b" * 24, key) is None
    for wrong in ("", key[:-1], key + "x", key.swapcase(), record.key_hash, "x" * 10_000, "\ud800", "\0"):
        assert await keys.find(KeyKind.RESET, USER, wrong) is None
    assert await keys.find(KeyKind.ACTIVATION, USER, "") is None, "where there is no key, nothing is one"


@pytest.mark.gen_test
async def test_a_key_ends_when_it_is_taken_cancelled_replaced_or_old(keys: OneTimeKeys, clock: ManualClock) -> None:
    record, key = await make(keys)
    assert await keys.take(record) is True
    assert await keys.take(record) is False
    assert await keys.find(KeyKind.RESET, USER, key) is None
    _, key = await make(keys)
    await keys.cancel(KeyKind.RESET, USER)
    await keys.cancel(KeyKind.RESET, USER)
    assert await keys.find(KeyKind.RESET, USER, key) is None
    _, old = await make(keys)
    _, new = await make(keys)
    assert await keys.find(KeyKind.RESET, USER, old) is None
    clock.advance(59.999)
    assert await keys.find(KeyKind.RESET, USER, new) is not None
    clock.advance(0.001)
    assert await keys.find(KeyKind.RESET, USER, new) is None


@pytest.mark.gen_test
async def test_keys_go_with_their_account(keys: OneTimeKeys) -> None:
    made = [await make(keys, kind) for kind in KeyKind]
    await keys.removed(User(USER, "ann", "ann@example.com", "hash", 3, 0))
    assert [await keys.find(record.kind, USER, key) for record, key in made] == [None, None, None]


def test_mails_are_counted_in_a_window(clock: ManualClock) -> None:
    counter = MailCounter(2, 60, 100, clock)
    for _ in range(2):
        assert counter.wait("ann") == 0
        counter.count("ann")
    assert counter.wait("ann") == 60
    assert counter.wait("bob") == 0
    clock.advance(59)
    assert counter.wait("ann") == pytest.approx(1)
    clock.advance(1)
    assert counter.wait("ann") == 0
    counter.count("ann")
    assert counter.wait("ann") == 0


def test_no_limit_and_no_key_count_nothing(clock: ManualClock) -> None:
    for counter, key in ((MailCounter(0, 60, 100, clock), "ann"), (MailCounter(1, 60, 100, clock), "")):
        for _ in range(3):
            counter.count(key)
        assert counter.wait(key) == 0
        assert len(counter) == 0


def test_no_more_than_so_many_are_remembered(clock: ManualClock) -> None:
    counter = MailCounter(1, 60, 10, clock)
    for number in range(1000):
        counter.count(str(number))
    assert len(counter) == 10
    assert counter.wait("999") > 0
    assert counter.wait("0") == 0
