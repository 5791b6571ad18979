"""What is true of files in S3 alone: parts, what a server does wrong, and what a start tells the operator."""

from __future__ import annotations

import asyncio
import contextlib
import os
import secrets
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.s3_faults import Fault, FaultyLine
from tests.s3_server import S3Server
from users_server.app.backends import open_storage
from users_server.backends.s3 import S3FileStorage
from users_server.config import Config
from users_server.errors import ConfigError, NotFound, StartupError, StoreUnavailable
from users_server.services.content_settings import FileSettings, S3Settings

pytestmark = pytest.mark.gen_test(timeout=60)

PART_BYTES = 5_242_880
LARGE = os.urandom(2 * PART_BYTES + 1_000)
FIRST_PART, SECOND_PART = r"^PUT .*partNumber=1", r"^PUT .*partNumber=2"
QUICK: dict[str, Any] = {"connect_timeout_seconds": 2.0, "timeout_seconds": 2.0, "attempts": 2}


@pytest.fixture
def bucket(s3_server: S3Server) -> str:
    return s3_server.bucket()


@contextlib.asynccontextmanager
async def opened(settings: S3Settings) -> AsyncIterator[S3FileStorage]:
    storage = S3FileStorage(settings)
    await storage.open()
    try:
        yield storage
    finally:
        await storage.close()


@contextlib.asynccontextmanager
async def on_faulty_line(server: S3Server, bucket: str) -> AsyncIterator[tuple[FaultyLine, S3FileStorage]]:
    async with FaultyLine(server.port) as line:
        async with opened(server.settings(bucket, endpoint=line.url, **QUICK)) as storage:
            yield line, storage


async def pieces(content: bytes, size: int = 65_536) -> AsyncIterator[bytes]:
    for start in range(0, len(content), size):
        yield content[start : start + size]


async def cut(content: bytes) -> AsyncIterator[bytes]:
    yield content
    raise ConnectionError("the client is gone")


async def read(storage: S3FileStorage, key: str, start: int, length: int) -> bytes:
    return b"".join([chunk async for chunk in storage.read(key, start, length)])


class TestParts:
    @pytest.mark.parametrize("size", [PART_BYTES - 1, PART_BYTES, PART_BYTES + 1, 2 * PART_BYTES, len(LARGE)])
    async def test_large_files_are_whole(self, s3_server: S3Server, bucket: str, size: int) -> None:
        async with opened(s3_server.settings(bucket, prefix="some/where-")) as storage:
            key = secrets.token_hex(12)
            await storage.write(key, pieces(LARGE[:size], 1_000_003))
            assert await read(storage, key, 0, size) == LARGE[:size]
            assert await read(storage, key, size - 7, 7) == LARGE[size - 7 : size]
            with pytest.raises(NotFound):
                await read(storage, key, size - 7, 8)
        assert s3_server.objects(bucket) == {f"some/where-{key}"}
        assert s3_server.unfinished(bucket) == set()

    async def test_a_write_that_was_cut_leaves_nothing_after_its_deletion(
        self, s3_server: S3Server, bucket: str
    ) -> None:
        async with opened(s3_server.settings(bucket)) as storage:
            key = secrets.token_hex(12)
            with pytest.raises(ConnectionError):
                await storage.write(key, cut(LARGE))
            with pytest.raises(NotFound):
                await read(storage, key, 0, 1)
            assert s3_server.unfinished(bucket) == {key}
            await storage.delete(key)
        assert s3_server.unfinished(bucket) == s3_server.objects(bucket) == set()

    async def test_what_a_killed_process_has_left_is_deleted_and_nothing_else(
        self, s3_server: S3Server, bucket: str
    ) -> None:
        """Several uploads of one object, and one of an object whose name begins the same."""
        key = secrets.token_hex(12)
        client = s3_server.client()
        for name in (key, key, key + "0"):
            upload_id = client.create_multipart_upload(Bucket=bucket, Key=name)["UploadId"]
            client.upload_part(Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=1, Body=b"part")
        async with opened(s3_server.settings(bucket)) as storage:
            await storage.delete(key)
        assert s3_server.unfinished(bucket) == {key + "0"}

    async def test_a_start_leaves_nothing(self, s3_server: S3Server, bucket: str) -> None:
        async with opened(s3_server.settings(bucket)) as storage:
            await storage.open()
            await asyncio.gather(*(S3FileStorage(s3_server.settings(bucket)).open() for _ in range(4)))
            assert s3_server.unfinished(bucket) == s3_server.objects(bucket) == set()


class TestFaults:
    async def test_a_busy_server_is_asked_again(self, s3_server: S3Server, bucket: str) -> None:
        async with on_faulty_line(s3_server, bucket) as (line, storage):
            key = secrets.token_hex(12)
            for request in (r"^POST .*\?uploads", SECOND_PART, r"^POST .*uploadId=", "^GET .*" + key, "^DELETE"):
                line.plan(request, Fault.BUSY)
            await storage.write(key, pieces(LARGE))
            assert await read(storage, key, 0, len(LARGE)) == LARGE
            await storage.delete(key)
        assert s3_server.objects(bucket) == set()

    @pytest.mark.parametrize("fault", list(Fault))
    async def test_a_server_that_goes_on_failing_is_unavailable(
        self, s3_server: S3Server, bucket: str, fault: Fault
    ) -> None:
        async with on_faulty_line(s3_server, bucket) as (line, storage):
            key, other = secrets.token_hex(12), secrets.token_hex(12)
            await storage.write(key, pieces(b"some bytes"))
            line.plan("^GET ", fault, times=2)
            # the answer to a part is a head alone, which is understood without its end
            line.plan(FIRST_PART, Fault.LOST if fault is Fault.CUT else fault, times=2)
            with pytest.raises(StoreUnavailable) as caught:
                await read(storage, key, 0, 10)
            assert "127.0.0.1" not in caught.value.message
            with pytest.raises(StoreUnavailable):
                await storage.write(other, pieces(LARGE))
            await storage.delete(other)
        assert s3_server.objects(bucket) == {key}
        assert s3_server.unfinished(bucket) == set()

    @pytest.mark.parametrize("request_line", [r"^POST .*\?uploads", FIRST_PART, SECOND_PART, r"^POST .*uploadId="])
    async def test_a_lost_answer_does_no_harm(self, s3_server: S3Server, bucket: str, request_line: str) -> None:
        async with on_faulty_line(s3_server, bucket) as (line, storage):
            key = secrets.token_hex(12)
            line.plan(request_line, Fault.LOST)
            await storage.write(key, pieces(LARGE))
            assert line.met.is_set()
            assert await read(storage, key, 0, len(LARGE)) == LARGE
        assert s3_server.objects(bucket) == {key}
        assert s3_server.unfinished(bucket) == set(), "the twin of the upload whose beginning was answered to nobody"

    async def test_a_line_that_breaks_in_a_download_is_not_noticed(self, s3_server: S3Server, bucket: str) -> None:
        async with on_faulty_line(s3_server, bucket) as (line, storage):
            key = secrets.token_hex(12)
            await storage.write(key, pieces(LARGE[:600_000]))
            line.plan("^GET .*" + key, Fault.CUT)
            assert await read(storage, key, 0, 600_000) == LARGE[:600_000]
            assert line.met.is_set()

    async def test_a_cancelled_write_ends_before_its_deletion(self, s3_server: S3Server, bucket: str) -> None:
        async with on_faulty_line(s3_server, bucket) as (line, storage):
            key = secrets.token_hex(12)
            line.plan(f"^PUT .*{key}", Fault.SILENT)
            writing = asyncio.ensure_future(storage.write(key, pieces(b"content")))
            await line.met.wait()
            writing.cancel()
            with pytest.raises(asyncio.CancelledError):
                await writing
            assert sum(line.startswith("PUT") and key in line for line in line.requests) == 2, "the second try, too"
            await storage.delete(key)
        assert s3_server.objects(bucket) == set()

    async def test_only_so_many_may_wait(self, s3_server: S3Server, bucket: str) -> None:
        async with opened(s3_server.settings(bucket, max_connections=1, max_waiting=1)) as storage:
            results = await asyncio.gather(*(storage.check() for _ in range(3)), return_exceptions=True)
            assert [type(result) for result in results] == [type(None), type(None), StoreUnavailable]
            await storage.check()

    async def test_a_server_that_hangs_is_given_up_and_used_again(self, tmp_path: Path) -> None:
        server = S3Server(tmp_path).start()
        try:
            bucket = server.bucket()
            async with opened(server.settings(bucket, **QUICK)) as storage:
                server.pause()
                with pytest.raises(StoreUnavailable):
                    await storage.check()
                server.resume()
                await storage.check()
                server.stop()
                with pytest.raises(StoreUnavailable):
                    await storage.write(secrets.token_hex(12), pieces(b"x"))
                server.start()
                with pytest.raises(StoreUnavailable):
                    await storage.write(secrets.token_hex(12), pieces(b"the bucket is gone"))
        finally:
            server.stop()


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> pytest.MonkeyPatch:
    """Nothing of AWS in the environment."""
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("HOME", str(tmp_path))
    return monkeypatch


@pytest.fixture(scope="module")
def strict_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[S3Server, S3Settings]]:
    """One that checks who asks, and settings that it accepts."""
    server = S3Server(tmp_path_factory.mktemp("s3")).start()
    bucket = server.bucket()
    access_key, secret_key = server.demand_credentials()
    yield server, server.settings(bucket, access_key=access_key, secret_key=secret_key)
    server.stop()


class TestStarts:
    async def test_a_bucket_must_be_there(self, s3_server: S3Server) -> None:
        with pytest.raises(StartupError, match=r"files\.s3\.bucket: there is no bucket nothing-here"):
            await S3FileStorage(s3_server.settings("nothing-here")).open()

    async def test_credentials_must_be_right(self, strict_server: tuple[S3Server, S3Settings]) -> None:
        _, right = strict_server
        async with opened(right) as storage:
            await storage.write(secrets.token_hex(12), pieces(LARGE))
        for wrong in (replace(right, secret_key="not the secret"), replace(right, access_key="nobody")):
            with pytest.raises(StartupError, match=r"files\.s3\.accessKey: .* refuses the credentials") as caught:
                await S3FileStorage(wrong).open()
            assert wrong.secret_key not in caught.value.message
            assert wrong.secret_key not in repr(wrong)

    async def test_credentials_may_come_from_the_environment(
        self, strict_server: tuple[S3Server, S3Settings], no_credentials: pytest.MonkeyPatch
    ) -> None:
        _, right = strict_server
        bare = replace(right, access_key="", secret_key="")
        with pytest.raises(StartupError, match="there are no credentials"):
            await S3FileStorage(bare).open()
        no_credentials.setenv("AWS_ACCESS_KEY_ID", right.access_key)
        no_credentials.setenv("AWS_SECRET_ACCESS_KEY", right.secret_key)
        async with opened(bare):
            pass

    async def test_a_server_that_is_away(self, s3_server: S3Server) -> None:
        async with FaultyLine(s3_server.port) as line:
            url = line.url
        with pytest.raises(StoreUnavailable, match=r"cannot be reached .* files\.s3\.endpoint"):
            await S3FileStorage(s3_server.settings("any-bucket", endpoint=url, **QUICK)).open()

    async def test_a_file_of_authorities_must_be_there(self, s3_server: S3Server, tmp_path: Path) -> None:
        settings = s3_server.settings("any-bucket", certificate_authority=str(tmp_path / "missing.pem"))
        with pytest.raises(StartupError, match=r"missing\.pem"):
            await S3FileStorage(settings).open()

    async def test_the_extra_must_be_installed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in [name for name in sys.modules if name.startswith(("users_server.backends.s3", "botocore"))]:
            monkeypatch.delitem(sys.modules, name)
        monkeypatch.setattr(sys, "meta_path", [WithoutLibrary(), *sys.meta_path])
        config = Config(files=FileSettings(storage="s3", s3=S3Settings(bucket="files")))
        with pytest.raises(ConfigError, match=r"pip install 'users-server\[s3\]'"):
            open_storage(config)


class WithoutLibrary:
    """Finds modules as if botocore were not installed."""

    def find_spec(self, name: str, path: object, target: object = None) -> None:
        if name == "botocore":
            raise ModuleNotFoundError("No module named 'botocore'", name=name)


def test_the_library_is_loaded_only_where_it_is_needed() -> None:
    program = "import sys, users_server.app, users_server.cli; sys.exit('botocore' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0
