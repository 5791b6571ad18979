"""
Password hashing: argon2id for every new hash, bcrypt to verify the ones that came with existing accounts.

Rule: no hash is computed on the event loop, nor at its expense: the threads have a lower priority. No more than
``max_waiting`` requests ever wait for one.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, TypeVar

from pwdlib import PasswordHash
from pwdlib.exceptions import UnknownHashError
from pwdlib.hashers.argon2 import Argon2Hasher
from pwdlib.hashers.bcrypt import BcryptHasher

from users_server.errors import InvalidValue, Overloaded
from users_server.services.settings import PasswordSettings

T = TypeVar("T")

MAX_PASSWORD_BYTES = 1024
"""More adds no security and would let a client choose how long the server hashes."""

NICENESS = 10

BCRYPT_BYTES = 72
"""Where bcrypt has always cut a password off; bcrypt 5 raises instead, which would lock out who has a longer one."""


@dataclass(frozen=True, slots=True)
class Argon2Costs:
    """What one hash costs. The defaults are RFC 9106's second recommendation; lower ones are for tests."""

    time_cost: int = 3
    memory_kibibytes: int = 65536
    parallelism: int = 4


class PasswordService:
    """
    Hashes and verifies passwords in a bounded pool of threads.

    Args:
        settings: How many threads, how many may wait, and the shortest password.
        costs: The cost of new hashes; a hash of other costs is renewed at the next login.
    """

    def __init__(self, settings: PasswordSettings, *, costs: Argon2Costs | None = None) -> None:
        costs = costs or Argon2Costs()
        self._min_length = settings.min_length
        self._max_jobs = settings.hash_workers + settings.max_waiting
        self._hashes = PasswordHash(
            (
                Argon2Hasher(costs.time_cost, costs.memory_kibibytes, costs.parallelism),
                _TruncatingBcryptHasher(),
            )
        )
        self._dummy_hash = self._hashes.hash(secrets.token_urlsafe(32))
        self._executor = ThreadPoolExecutor(
            settings.hash_workers, thread_name_prefix="password", initializer=_step_back
        )
        self._jobs: set[asyncio.Future[Any]] = set()
        self._is_closed = False

    def check(self, password: str) -> None:
        """
        Return if ``password`` may become somebody's password.

        Raises:
            InvalidValue: If it is shorter or longer than is allowed.
        """
        if len(password) < self._min_length:
            raise InvalidValue(f"Password must have at least {self._min_length} characters")
        if len(_encode(password)) > MAX_PASSWORD_BYTES:
            raise InvalidValue(f"Password cannot be longer than {MAX_PASSWORD_BYTES} bytes")

    async def hash(self, password: str) -> str:
        """
        A new argon2id hash of ``password``.

        Raises:
            InvalidValue: As :meth:`check` does.
            Overloaded: If too many requests wait already.
        """
        self.check(password)
        encoded = _encode(password)
        return await self._run(lambda: self._hashes.hash(encoded))

    async def verify(self, password: str, hash: str | None) -> tuple[bool, str | None]:
        """
        Whether ``password`` matches ``hash``, and the hash to replace it by if it is bcrypt or of other costs.

        Without a hash (there is no such account), with one of an unknown kind, and for an overlong password, one
        argon2id verification is made all the same, so that the time does not tell why nothing matched. A bcrypt hash
        takes bcrypt's time until its first login here.

        Raises:
            Overloaded: If too many requests wait already.
        """
        encoded = _encode(password)
        if hash is None or len(encoded) > MAX_PASSWORD_BYTES:
            return await self._run(lambda: self._verify_dummy(encoded))
        return await self._run(lambda: self._verify(encoded, hash))

    @staticmethod
    def scheme(hash: str) -> str:
        """``argon2id`` or ``bcrypt``; ``unknown`` for what this server cannot verify."""
        if hash.startswith("$argon2id$"):
            return "argon2id"
        return "bcrypt" if BcryptHasher.identify(hash) else "unknown"

    async def close(self) -> None:
        """Drop what waits (:class:`Overloaded` for it) and return when what runs has ended. Idempotent."""
        self._is_closed = True
        self._executor.shutdown(wait=False, cancel_futures=True)
        await asyncio.gather(*self._jobs, return_exceptions=True)

    def _verify(self, password: bytes, hash: str) -> tuple[bool, str | None]:
        try:
            return self._hashes.verify_and_update(password, hash)
        except UnknownHashError:
            return self._verify_dummy(password)

    def _verify_dummy(self, password: bytes) -> tuple[bool, str | None]:
        self._hashes.verify(password[:MAX_PASSWORD_BYTES], self._dummy_hash)
        return False, None

    async def _run(self, work: Callable[[], T]) -> T:
        """``work`` in a thread. A caller that gives up does not free its place before the thread has."""
        if self._is_closed or len(self._jobs) >= self._max_jobs:
            raise Overloaded
        job = asyncio.get_running_loop().run_in_executor(self._executor, work)
        self._jobs.add(job)
        job.add_done_callback(self._jobs.discard)
        try:
            return await asyncio.shield(job)
        except asyncio.CancelledError:
            if job.cancelled():
                raise Overloaded from None
            raise


class _TruncatingBcryptHasher(BcryptHasher):
    """bcrypt as the existing hashes were made: with the first 72 bytes."""

    def verify(self, password: str | bytes, hash: str | bytes) -> bool:
        encoded = _encode(password) if isinstance(password, str) else password
        try:
            return super().verify(encoded[:BCRYPT_BYTES], hash)
        except ValueError:  # the form is bcrypt's, the cost inside is none
            return False


def _step_back() -> None:
    """
    Lower the priority of this thread, and so of those that argon2 starts from it.

    There are more of them than cores, and whoever waits for a password can wait a moment more; the event loop cannot.
    Only Linux has priorities of single threads.
    """
    if sys.platform == "linux":
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), NICENESS)


def _encode(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
