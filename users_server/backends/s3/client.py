"""botocore's client, called in threads."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Concatenate, ParamSpec, TypeVar

import botocore.session
from botocore.config import Config

from users_server.backends.s3.errors import FAILURES, unavailable
from users_server.errors import StoreUnavailable
from users_server.services.content_settings import S3Settings

P = ParamSpec("P")
T = TypeVar("T")

DEFAULT_REGION = "us-east-1"


class Client:
    """
    Runs operations, bounded in number, each in a thread: what botocore computes, hashes and signs stops nobody either.

    Each try of an operation ends with the time-outs of the settings, so a thread that nobody waits for any more ends
    by itself.
    """

    def __init__(self, settings: S3Settings) -> None:
        self._settings = settings
        self._max_operations = settings.max_connections + settings.max_waiting
        self._operations = 0
        self._executor: ThreadPoolExecutor | None = None
        self._client: Any = None

    @property
    def is_open(self) -> bool:
        return self._executor is not None

    async def open(self) -> None:
        """Make the client; the server is not asked yet. Raises :class:`StoreUnavailable` with the cause."""
        self._executor = ThreadPoolExecutor(self._settings.max_connections, thread_name_prefix="s3")
        try:
            self._client = await asyncio.get_running_loop().run_in_executor(self._executor, _connect, self._settings)
        except FAILURES as error:
            raise unavailable() from error

    async def close(self) -> None:
        """Finish what is under way and let go. Idempotent."""
        executor, self._executor = self._executor, None
        client, self._client = self._client, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown)
        if client is not None:
            client.close()

    async def read(self, operation: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """
        ``operation`` of botocore's client. Whoever gives up does not wait for its end.

        Raises:
            StoreUnavailable: With the cause, if it fails or too many wait.
        """
        try:
            return await asyncio.shield(self._submit(operation, *args, **kwargs))
        except FAILURES as error:
            raise unavailable() from error

    async def change(self, operation: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """As :meth:`read`, but whoever gives up waits for its end: it must not happen after the deletion."""
        running = self._submit(operation, *args, **kwargs)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        except FAILURES as error:
            raise unavailable() from error

    def _submit(
        self, operation: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> asyncio.Future[T]:
        client = self._client
        if self._executor is None or client is None:
            raise StoreUnavailable("The storage of the files is not open")
        if self._operations >= self._max_operations:
            raise StoreUnavailable("Too many requests wait for the storage of the files; please try again later")
        self._operations += 1
        running = asyncio.get_running_loop().run_in_executor(self._executor, lambda: operation(client, *args, **kwargs))
        running.add_done_callback(self._forget)
        return running

    def _forget(self, running: asyncio.Future[Any]) -> None:
        self._operations -= 1
        if not running.cancelled():
            running.exception()  # seen, also where nobody waits for it any more


def _connect(settings: S3Settings) -> Any:
    if settings.certificate_authority:
        Path(settings.certificate_authority).open("rb").close()  # botocore tells of a missing one at the first request
    session = botocore.session.Session()
    config = Config(
        connect_timeout=settings.connect_timeout_seconds,
        read_timeout=settings.timeout_seconds,
        max_pool_connections=settings.max_connections,
        retries={"mode": "standard", "total_max_attempts": settings.attempts},
        s3={"addressing_style": "path" if settings.path_style else "auto", "payload_signing_enabled": True},
        # the newer checksums are unknown to older servers; the signature holds a hash of the content anyhow
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
        tcp_keepalive=True,
    )
    return session.create_client(
        "s3",
        region_name=settings.region or session.get_config_variable("region") or DEFAULT_REGION,
        endpoint_url=settings.endpoint or None,
        verify=settings.certificate_authority or None,
        aws_access_key_id=settings.access_key or None,
        aws_secret_access_key=settings.secret_key or None,
        config=config,
    )
