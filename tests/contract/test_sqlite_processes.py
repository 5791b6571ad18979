"""The SQLite store in several processes, and in one that is killed or whose disk is full."""

from __future__ import annotations

import contextlib
import json
from pathlib import Path

import pytest

from tests.contract.databases import SQLiteDatabase, opened
from tests.contract.processes import output, running
from tests.contract.records import make_user

PRELUDE = """
import asyncio, json, os, resource, sys
from users_server.backends.sqlite import SQLiteStore
from users_server.core.accounts import User
from users_server.errors import StoreUnavailable

def make_user(name, **fields):
    email = f"{name}@example.com"
    return User(id=name, username=name, email=email, password_hash="", privileges=3, created_on=0, **fields)
"""

WRITES_FOREVER = """
async def write(store, prefix):
    number = 0
    while True:
        await store.create_user(make_user(f"{prefix}{number}", meta={"number": number}))
        os.write(1, f"{prefix}{number}\\n".encode())  # acknowledged
        number += 1

async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    await asyncio.gather(*(write(store, prefix) for prefix in "abcd"))
"""

READS_AND_WRITES = """
async def main():
    store = SQLiteStore(sys.argv[1])
    await store.open()
    found = await store.find_user("parent")
    await store.create_user(make_user("child"))
    await store.close()
    print(found.id)
"""

OPENS_AND_WRITES = """
async def main():
    for path in sys.stdin:
        store = SQLiteStore(path.rstrip())
        await store.open()
        await store.create_user(make_user(sys.argv[1]))
        await store.close()
        print("done", flush=True)
"""

FILLS_THE_DISK = """
async def main():
    store = SQLiteStore(sys.argv[1], max_batch=2)
    await store.open()
    await store.create_user(make_user("before"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (os.stat(sys.argv[1] + "-wal").st_size + 300_000, hard))
    # The great ones do not even fit into SQLite's cache, so they fail before they are committed.
    sizes = {f"user{number}": 8_000_000 if number % 10 == 9 else 50_000 for number in range(40)}
    users = [make_user(name, meta={"text": "x" * size}) for name, size in sizes.items()]
    answers = await asyncio.gather(*(store.create_user(user) for user in users), return_exceptions=True)
    messages = {answer.message for answer in answers if isinstance(answer, StoreUnavailable)}
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    await store.create_user(make_user("after"))
    await store.check()
    acknowledged = [name for name, answer in zip(sizes, answers) if answer is None]
    kept = [user.username for user in (await store.list_users(limit=100)).items]
    await store.close()
    kinds = sorted({type(answer).__name__ for answer in answers})
    print(json.dumps({"acknowledged": acknowledged, "kept": kept, "messages": list(messages), "kinds": kinds}))
"""


class TestProcesses:
    @pytest.mark.gen_test(timeout=60)
    async def test_a_killed_process_loses_nothing_that_was_acknowledged(self, sqlite_database: SQLiteDatabase) -> None:
        with running(PRELUDE + WRITES_FOREVER, sqlite_database.path) as process:
            assert process.stdout is not None
            names = [process.stdout.readline() for _ in range(200)]
            process.kill()
            names += process.stdout.readlines()
        acknowledged = {name.removesuffix("\n") for name in names}
        assert len(acknowledged) >= 200
        async with opened(sqlite_database) as store:
            page = await store.list_users(limit=10_000)
            kept = {user.username: user.meta for user in page.items}
            assert acknowledged <= kept.keys()
            # What was not acknowledged is there whole or not at all; each of the four writers had one on its way.
            assert len(kept) <= len(acknowledged) + 4
            assert all(name[1:] == str(meta["number"]) for name, meta in kept.items())
            await store.create_user(make_user())

    @pytest.mark.gen_test(timeout=30)
    async def test_a_second_process_reads_and_writes(self, sqlite_database: SQLiteDatabase) -> None:
        user = make_user("parent")
        async with opened(sqlite_database) as store:
            await store.create_user(user)
            with running(PRELUDE + READS_AND_WRITES, sqlite_database.path) as process:
                assert output(process) == f"{user.id}\n"
            assert await store.find_user("child") is not None
            await store.create_user(make_user())

    @pytest.mark.gen_test(timeout=60)
    async def test_processes_that_start_together_share_a_new_file(self, tmp_path: Path) -> None:
        databases = [SQLiteDatabase(tmp_path / f"{number}.db") for number in range(40)]
        with contextlib.ExitStack() as stack:
            processes = [stack.enter_context(running(PRELUDE + OPENS_AND_WRITES, name)) for name in "abcd"]
            for database in databases:
                for process in processes:
                    assert process.stdin is not None
                    process.stdin.write(f"{database.path}\n")
                    process.stdin.flush()
                for process in processes:
                    assert process.stdout is not None
                    assert process.stdout.readline() == "done\n" or output(process)
            for process in processes:
                assert output(process) == ""
        for database in databases:
            async with opened(database) as store:
                assert await store.count_users() == 4

    def test_a_full_disk_fails_what_does_not_fit_and_nothing_else(self, sqlite_database: SQLiteDatabase) -> None:
        with running(PRELUDE + FILLS_THE_DISK, sqlite_database.path) as process:
            result = json.loads(output(process))
        assert result["kinds"] == ["NoneType", "StoreUnavailable"]
        assert set(result["kept"]) == {"before", "after", *result["acknowledged"]}
        for message in result["messages"]:
            assert "disk" in message
