"""A folder as a storage of files."""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import ParamSpec, TypeVar

from users_server.errors import NotFound, StartupError, StoreUnavailable

P = ParamSpec("P")
T = TypeVar("T")

CHUNK_BYTES = 262_144
_KEY = re.compile(r"[0-9a-f]{8,64}")


class LocalFileStorage:
    """
    A :class:`~users_server.core.files.FileStorage` in a folder of a local disk.

    A file is written under ``incoming`` and moved to its place when it is whole and on the disk. The folder and all in
    it can be read by the server's own user only.

    Args:
        folder: Made for the first file if it is not there; the folder above it must be.
        threads: How many operations run at once. The next ones wait, and with them the clients that asked.
    """

    def __init__(self, folder: str | Path, *, threads: int = 4) -> None:
        self._folder = Path(folder).absolute()
        self._threads = threads
        self._executor: ThreadPoolExecutor | None = None

    async def open(self) -> None:
        if self._executor is not None:
            return
        self._executor = ThreadPoolExecutor(self._threads, thread_name_prefix="files")
        try:
            await self._run(self._check_folder)
        except StoreUnavailable as error:
            await self.close()
            raise StartupError(
                f"files.folder: {self._folder} cannot be used ({error.__cause__}); check that the folder above it "
                "exists and that the server may write there"
            ) from error

    async def close(self) -> None:
        executor, self._executor = self._executor, None
        if executor is not None:
            await asyncio.to_thread(executor.shutdown)

    async def check(self) -> None:
        await self._run(self._check_folder)

    async def write(self, key: str, chunks: AsyncIterator[bytes]) -> None:
        incoming, place = self._incoming(key), self._place(key)
        await self._run(self._make_folders)
        async with self._opened(incoming, os.O_WRONLY | os.O_CREAT | os.O_EXCL) as descriptor:
            pending = bytearray()
            async for chunk in chunks:
                pending += chunk
                if len(pending) >= CHUNK_BYTES:
                    await self._run(_write_all, descriptor, bytes(pending))
                    pending.clear()
            await self._run(_write_all, descriptor, bytes(pending))
            await self._run(os.fsync, descriptor)
        await self._run(_move, incoming, place)

    async def read(self, key: str, start: int, length: int) -> AsyncIterator[bytes]:
        end = start + length
        async with self._opened(self._place(key), os.O_RDONLY) as descriptor:
            while start < end:
                chunk = await self._run(os.pread, descriptor, min(CHUNK_BYTES, end - start), start)
                if not chunk:
                    raise NotFound("File not found")
                start += len(chunk)
                yield chunk

    async def delete(self, key: str) -> None:
        await self._run(_delete, self._incoming(key), self._place(key))

    @contextlib.asynccontextmanager
    async def _opened(self, path: Path, flags: int) -> AsyncIterator[int]:
        opening = self._submit(os.open, path, flags, 0o600)
        try:
            descriptor = await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_result)
            raise
        except FileNotFoundError as error:
            raise NotFound("File not found") from error
        except OSError as error:
            raise _broken() from error
        try:
            yield descriptor
        finally:
            await asyncio.shield(self._submit(os.close, descriptor))

    async def _run(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """In a thread. Whoever gives up waits for it to end: a descriptor must not be closed under its hands."""
        running = self._submit(work, *args, **kwargs)
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            await asyncio.wait([running])
            raise
        except OSError as error:
            raise _broken() from error

    def _submit(self, work: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> asyncio.Future[T]:
        if self._executor is None:
            raise StoreUnavailable("The storage of the files is not open")
        return asyncio.get_running_loop().run_in_executor(self._executor, lambda: work(*args, **kwargs))

    def _check_folder(self) -> None:
        folder = self._folder if self._folder.exists() else self._folder.parent
        if not folder.is_dir():
            raise NotADirectoryError(f"{folder} is no folder")
        if not os.access(folder, os.W_OK | os.X_OK):
            raise PermissionError(f"{folder} cannot be written")

    def _make_folders(self) -> None:
        self._folder.mkdir(mode=0o700, exist_ok=True)
        (self._folder / "incoming").mkdir(mode=0o700, exist_ok=True)

    def _incoming(self, key: str) -> Path:
        return self._folder / "incoming" / _checked(key)

    def _place(self, key: str) -> Path:
        # two levels, so that no folder gets too many entries
        return self._folder / _checked(key)[:2] / key[2:4] / key


def _checked(key: str) -> str:
    if not _KEY.fullmatch(key):
        raise ValueError(f"{key!r} is no key of a storage")
    return key


def _broken() -> StoreUnavailable:
    return StoreUnavailable("The storage of the files does not work; please try again later")


def _close_result(opening: asyncio.Future[int]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        os.close(opening.result())


def _write_all(descriptor: int, content: bytes) -> None:
    view = memoryview(content)
    while view:
        view = view[os.write(descriptor, view) :]


def _move(incoming: Path, place: Path) -> None:
    place.parent.parent.mkdir(mode=0o700, exist_ok=True)
    place.parent.mkdir(mode=0o700, exist_ok=True)
    incoming.rename(place)
    for folder in (place.parent, place.parent.parent, place.parent.parent.parent):
        _sync_folder(folder)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _delete(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(FileNotFoundError):
            path.unlink()
