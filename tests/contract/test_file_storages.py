"""What :class:`~users_server.core.files.FileStorage` promises, on every storage."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.contract.databases import MongoDatabase
from tests.s3_server import S3Server
from users_server.backends.local_files import LocalFileStorage
from users_server.backends.mongodb import GridFileStorage
from users_server.backends.s3 import S3FileStorage
from users_server.core.files import FileStorage
from users_server.errors import NotFound, StartupError, StoreUnavailable

pytestmark = pytest.mark.gen_test(timeout=30)

LARGE = os.urandom(700_001)


@pytest.fixture(params=["folder", "gridfs", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> FileStorage:
    if request.param == "folder":
        return LocalFileStorage(tmp_path / "files")
    if request.param == "s3":
        server: S3Server = request.getfixturevalue("s3_server")
        return S3FileStorage(server.settings(server.bucket()))
    database: MongoDatabase = request.getfixturevalue("mongodb_database")
    return GridFileStorage(database.url)


@contextlib.asynccontextmanager
async def opened(storage: FileStorage) -> AsyncIterator[FileStorage]:
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


async def pieces(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def read(storage: FileStorage, key: str, start: int, length: int) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key, start, length)])


class TestStorages:
    @pytest.mark.parametrize("content", [b"", b"x", LARGE[:261_120], LARGE[:262_144], LARGE])
    @pytest.mark.parametrize("size", [65_536, 700_001])
    async def test_what_was_written_is_read(self, storage: FileStorage, content: bytes, size: int) -> None:
        async with opened(storage):
            key = secrets.token_hex(12)
            await storage.write(key, pieces(content, size))
            assert await read(storage, key, 0, len(content)) == content
            await storage.check()

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 1), (700_000, 1), (261_119, 3), (262_143, 300_000), (5, 0), (1, 700_000)]
    )
    async def test_parts_are_read(self, storage: FileStorage, start: int, length: int) -> None:
        async with opened(storage):
            key = secrets.token_hex(12)
            await storage.write(key, pieces(LARGE))
            chunks = [chunk async for chunk in storage.read(key, start, length)]
            assert b"".join(chunks) == LARGE[start : start + length]
            assert all(0 < len(chunk) <= 262_144 for chunk in chunks)

    async def test_what_is_not_there(self, storage: FileStorage) -> None:
        async with opened(storage):
            key = secrets.token_hex(12)
            with pytest.raises(NotFound):
                await read(storage, key, 0, 1)
            await storage.delete(key)
            await storage.write(key, pieces(b"short"))
            with pytest.raises(NotFound):
                await read(storage, key, 0, 6)
            for _ in range(2):
                await storage.delete(key)
            with pytest.raises(NotFound):
                await read(storage, key, 0, 1)

    async def test_an_unfinished_write_cannot_be_read_and_can_be_deleted(self, storage: FileStorage) -> None:
        async def broken() -> AsyncIterator[bytes]:
            yield LARGE[:300_000]
            raise ValueError("cut")

        async with opened(storage):
            key = secrets.token_hex(12)
            with pytest.raises(ValueError, match="cut"):
                await storage.write(key, broken())
            with pytest.raises(NotFound):
                await read(storage, key, 0, 1)
            await storage.delete(key)
            await storage.write(key, pieces(b"the key is free again"))
            assert await read(storage, key, 4, 3) == b"key"

    async def test_a_cancelled_write_leaves_nothing_that_cannot_be_deleted(self, storage: FileStorage) -> None:
        reached = asyncio.Event()

        async def endless() -> AsyncIterator[bytes]:
            yield LARGE
            reached.set()
            await asyncio.get_running_loop().create_future()

        async with opened(storage):
            key = secrets.token_hex(12)
            writing = asyncio.ensure_future(storage.write(key, endless()))
            await reached.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            with pytest.raises(NotFound):
                await read(storage, key, 0, 1)
            await storage.delete(key)

    async def test_a_read_may_be_left_in_the_middle(self, storage: FileStorage) -> None:
        async with opened(storage):
            key = secrets.token_hex(12)
            await storage.write(key, pieces(LARGE))
            async with contextlib.aclosing(storage.read(key, 0, len(LARGE))) as content:  # type: ignore[type-var]
                assert await anext(content)
            await storage.delete(key)

    async def test_several_at_once(self, storage: FileStorage) -> None:
        async with opened(storage):
            contents = {secrets.token_hex(12): os.urandom(300_000) for _ in range(10)}
            await asyncio.gather(*(storage.write(key, pieces(content)) for key, content in contents.items()))
            found = await asyncio.gather(*(read(storage, key, 0, 300_000) for key in contents))
            assert found == list(contents.values())

    async def test_nothing_works_before_it_is_open(self, storage: FileStorage) -> None:
        with pytest.raises(StoreUnavailable):
            await storage.delete(secrets.token_hex(12))


class TestFolders:
    async def test_no_name_but_a_key_is_taken(self, tmp_path: Path) -> None:
        async with opened(LocalFileStorage(tmp_path / "files")) as storage:
            for name in ("../users.db", "ABCDEF0123456789", "", "aa/../../x", "a" * 65):
                with pytest.raises(ValueError, match="no key"):
                    await storage.write(name, pieces(b""))

    async def test_nobody_else_may_read(self, tmp_path: Path) -> None:
        async with opened(LocalFileStorage(tmp_path / "files")) as storage:
            await storage.write(secrets.token_hex(12), pieces(b"secret"))
        found = list((tmp_path / "files").rglob("*"))
        assert found
        assert all(path.stat().st_mode & 0o077 == 0 for path in [tmp_path / "files", *found])

    async def test_a_folder_that_cannot_be_is_told_at_the_start(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("no folder")
        for folder in (tmp_path / "missing" / "files", tmp_path / "file"):
            with pytest.raises(StartupError, match=r"files\.folder"):
                await LocalFileStorage(folder).open()
