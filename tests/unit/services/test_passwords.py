from __future__ import annotations

import asyncio
import os
import sys
import threading
from typing import Any

import bcrypt
import pytest
from pwdlib.hashers.argon2 import Argon2Hasher

from tests.unit.services.conftest import CHEAP
from tests.unit.services.doubles import HeldPasswords
from users_server.errors import BackendError, InvalidValue, Overloaded
from users_server.services.passwords import Argon2Costs, PasswordService
from users_server.services.settings import PasswordSettings


def bcrypt_hash(password: bytes, prefix: bytes = b"2b") -> str:
    return (
        bcrypt.hashpw(password, bcrypt.gensalt(4, prefix if prefix != b"2y" else b"2b"))
        .decode()
        .replace("$2b$", f"${prefix.decode()}$")
    )


@pytest.fixture
def argon2_verifications(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The hashes that argon2id really verified against."""
    seen: list[str] = []
    verify = Argon2Hasher.verify

    def counted(self: Argon2Hasher, password: str | bytes, hash: str | bytes) -> bool:
        seen.append(str(hash))
        return verify(self, password, hash)

    monkeypatch.setattr(Argon2Hasher, "verify", counted)
    return seen


@pytest.mark.gen_test
async def test_a_password_matches_its_hash_only(passwords: PasswordService) -> None:
    hash = await passwords.hash("sécret")
    assert hash.startswith("$argon2id$v=19$m=8,t=1,p=1$")
    assert await passwords.verify("sécret", hash) == (True, None)
    assert await passwords.verify("Sécret", hash) == (False, None)
    assert await passwords.hash("sécret") != hash


@pytest.mark.gen_test
async def test_costs_are_rfc_9106_by_default() -> None:
    service = PasswordService(PasswordSettings())
    assert "$m=65536,t=3,p=4$" in await service.hash("x")
    await service.close()


@pytest.mark.gen_test
@pytest.mark.parametrize("prefix", [b"2a", b"2b", b"2y"])
async def test_bcrypt_is_verified_and_renewed(passwords: PasswordService, prefix: bytes) -> None:
    old = bcrypt_hash(b"secret", prefix)
    assert await passwords.verify("wrong", old) == (False, None)
    matches, renewed = await passwords.verify("secret", old)
    assert matches
    assert renewed is not None
    assert PasswordService.scheme(renewed) == "argon2id"
    assert await passwords.verify("secret", renewed) == (True, None)


@pytest.mark.gen_test
async def test_bcrypt_cuts_at_72_bytes_as_it_always_did(passwords: PasswordService) -> None:
    long = "ü" * 40
    old = bcrypt_hash(long.encode()[:72])
    matches, renewed = await passwords.verify(long, old)
    assert matches
    assert renewed is not None
    assert await passwords.verify(long, renewed) == (True, None)
    assert await passwords.verify("ü" * 36, renewed) == (False, None)
    assert (await passwords.verify("u" * 100, old))[0] is False


@pytest.mark.gen_test
async def test_a_hash_of_other_costs_is_renewed(passwords: PasswordService) -> None:
    other = PasswordService(PasswordSettings(), costs=Argon2Costs(2, 16, 1))
    old = await other.hash("secret")
    await other.close()
    matches, renewed = await passwords.verify("secret", old)
    assert matches
    assert renewed is not None
    assert "m=8,t=1,p=1" in renewed


@pytest.mark.gen_test
@pytest.mark.parametrize("hash", [None, "", "plain", "$argon2id$", "$2b$10$short", "$1$md5$x", "$6$sha512crypt$x"])
async def test_without_a_usable_hash_a_verification_is_made_all_the_same(
    passwords: PasswordService, argon2_verifications: list[str], hash: str | None
) -> None:
    assert await passwords.verify("secret", hash) == (False, None)
    assert len(argon2_verifications) == 1
    assert argon2_verifications[0].startswith("$argon2id$v=19$m=8,t=1,p=1$")


@pytest.mark.gen_test
async def test_no_password_matches_the_dummy(passwords: PasswordService, argon2_verifications: list[str]) -> None:
    await passwords.verify("secret", None)
    other = PasswordService(PasswordSettings(), costs=CHEAP)
    await other.verify("secret", None)
    await other.close()
    assert argon2_verifications[0] != argon2_verifications[1]


@pytest.mark.gen_test
@pytest.mark.parametrize("hash", ["$2b$99$" + "a" * 53, "$2b$00$" + "a" * 53, "$argon2id$v=19$m=8,t=1,p=1$c2FsdA$AA"])
async def test_a_broken_hash_matches_nothing(passwords: PasswordService, hash: str) -> None:
    assert await passwords.verify("secret", hash) == (False, None)


@pytest.mark.gen_test
async def test_the_length_is_bounded_before_hashing(
    passwords: PasswordService, argon2_verifications: list[str]
) -> None:
    longest = "x" * 1024
    hash = await passwords.hash(longest)
    assert await passwords.verify(longest, hash) == (True, None)
    with pytest.raises(InvalidValue, match=r"^Password cannot be longer than 1024 bytes$"):
        await passwords.hash("x" * 1025)
    with pytest.raises(InvalidValue):
        await passwords.hash("ü" * 513)
    argon2_verifications.clear()
    assert await passwords.verify(longest + "x", hash) == (False, None)
    assert len(argon2_verifications) == 1
    assert argon2_verifications[0] != hash


@pytest.mark.gen_test
async def test_the_shortest_length_is_the_operators() -> None:
    service = PasswordService(PasswordSettings(min_length=8), costs=CHEAP)
    with pytest.raises(InvalidValue, match=r"^Password must have at least 8 characters$"):
        await service.hash("1234567")
    await service.hash("12345678")
    await service.close()


@pytest.mark.gen_test
async def test_half_a_surrogate_pair_is_a_password_like_another(passwords: PasswordService) -> None:
    hash = await passwords.hash("\ud800")
    assert await passwords.verify("\ud800", hash) == (True, None)


@pytest.mark.parametrize(
    ("hash", "scheme"),
    [
        ("$argon2id$v=19$m=8,t=1,p=1$x$y", "argon2id"),
        (bcrypt_hash(b"x"), "bcrypt"),
        ("$argon2i$v=19$m=8,t=1,p=1$x$y", "unknown"),
        ("", "unknown"),
    ],
    ids=["argon2id", "bcrypt", "argon2i", "empty"],
)
def test_scheme(hash: str, scheme: str) -> None:
    assert PasswordService.scheme(hash) == scheme


@pytest.mark.gen_test
async def test_waiting_is_bounded_and_the_loop_stays_free() -> None:
    service = HeldPasswords(PasswordSettings(hash_workers=2, max_waiting=3), costs=CHEAP)
    accepted = [asyncio.ensure_future(service.verify("x", None)) for _ in range(5)]
    await asyncio.sleep(0)
    for _ in range(1000):
        with pytest.raises(Overloaded) as caught:
            await service.verify("x", None)
    assert isinstance(caught.value, BackendError)
    assert caught.value.is_temporary
    service.go.set()
    assert await asyncio.gather(*accepted) == [(False, None)] * 5
    assert await service.verify("x", None) == (False, None)
    await service.close()


@pytest.mark.gen_test
async def test_a_caller_that_gives_up_keeps_its_place_until_its_thread_is_free() -> None:
    service = HeldPasswords(PasswordSettings(hash_workers=1, max_waiting=0), costs=CHEAP)
    caller = asyncio.ensure_future(service.verify("x", None))
    await asyncio.sleep(0)
    caller.cancel()
    with pytest.raises(asyncio.CancelledError):
        await caller
    with pytest.raises(Overloaded):
        await service.verify("x", None)
    service.go.set()
    await service.close()


@pytest.mark.gen_test
async def test_closing_waits_for_what_runs_and_drops_what_waits() -> None:
    service = HeldPasswords(PasswordSettings(hash_workers=1, max_waiting=5), costs=CHEAP)
    running = asyncio.ensure_future(service.verify("x", None))
    waiting = asyncio.ensure_future(service.verify("x", None))
    await service.is_running.wait()
    closing = asyncio.ensure_future(service.close())
    await asyncio.sleep(0)
    assert not closing.done()
    service.go.set()
    results: Any = await asyncio.gather(running, waiting, closing, return_exceptions=True)
    assert results[0] == (False, None)
    assert isinstance(results[1], Overloaded)
    assert results[2] is None
    with pytest.raises(Overloaded):
        await service.hash("x")
    await service.close()


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has priorities of single threads")
@pytest.mark.gen_test
async def test_hashing_steps_back_behind_the_event_loop() -> None:
    service = PasswordService(PasswordSettings(hash_workers=1), costs=CHEAP)
    priority = await service._run(lambda: os.getpriority(os.PRIO_PROCESS, threading.get_native_id()))
    assert priority > os.getpriority(os.PRIO_PROCESS, threading.get_native_id())
    await service.close()
