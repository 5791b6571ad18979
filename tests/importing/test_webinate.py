"""An import from the original's database into each store."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from bson import Binary, ObjectId

from tests.contract.databases import Database, opened
from tests.contract.records import make_user as make_target_user
from tests.importing.original import CREATED, FAR_AWAY, HASH, Original, make_user, put_content, run_import
from users_server.config import Config
from users_server.core.accounts import KeyKind
from users_server.core.files import StoredFile
from users_server.core.interfaces import Store
from users_server.services.importing import ImportReport
from users_server.services.one_time_keys import hash_key
from users_server.services.settings import SessionSettings

pytestmark = pytest.mark.gen_test(timeout=60)

COOKIE = "ABCDEFGHIJKLMNOPQRSTUVWX12"


def fill(original: Original, folder: Path) -> None:
    """Two accounts with all that belongs to them."""
    original.user("ann", sessionId=COOKIE, privileges=1, meta={"since": 2017, "tags": ["a", None]})
    original.user("Bob", registerKey="thekeythatwasmailed", passwordTag="half-way")
    original.session(COOKIE)
    original.stats("ann")
    bucket = original.bucket("ann", "pictures")
    for number in range(3):
        content = b"x" * (number + 1)
        parent = {} if number == 0 else {"parentFile": "file0"}
        put_content(folder, original.file(bucket, f"file{number}", content, **parent), content)


def numbers(report: ImportReport) -> dict[str, tuple[int, int, int, int]]:
    """Read, imported, present, and skipped for whatever reason."""
    return {
        name: (
            collection.read,
            collection.imported,
            collection.present,
            sum(collection.skipped.values()) + sum(collection.conflicts.values()),
        )
        for name, collection in report.collections.items()
    }


async def found(store: Store, name: str) -> Any:
    user = await store.find_user(name)
    assert user is not None, name
    return user


class TestImport:
    async def test_all_of_an_account_comes(
        self, original: Original, database: Database, config: Config, tmp_path: Path
    ) -> None:
        fill(original, tmp_path / "copy")
        before = original.dump()
        report = await run_import(config, original, files=tmp_path / "copy")
        assert numbers(report) == {
            "users": (2, 2, 0, 0),
            "storageAPI": (1, 1, 0, 0),
            "buckets": (1, 1, 0, 0),
            "files": (3, 3, 0, 0),
            "sessions": (1, 1, 0, 0),
        }
        assert original.dump() == before
        async with opened(database) as store:
            ann = await found(store, "ANN@example.com")
            assert ann.id == str(before["users"][0][0]["_id"])
            assert (ann.username, ann.privileges, ann.password_hash) == ("ann", 1, HASH)
            assert (ann.created_on, ann.last_logged_in, ann.is_active) == (CREATED, CREATED + 1, True)
            assert ann.meta == {"since": 2017, "tags": ["a", None]}
            stats = await store.get_stats(ann.id)
            assert stats is not None
            assert (stats.calls_used, stats.calls_allocated, stats.memory_allocated) == (12, 345, 1000)
            assert stats.memory_used == 6, "what really came, not what the source says"
            (bucket,) = (await store.list_buckets(ann.id)).items
            assert (bucket.name, bucket.identifier, bucket.memory_used) == ("pictures", "webinate-bucket-pictures", 6)
            files = (await store.list_files(bucket.id)).items
            assert [(file.identifier, file.parent_file) for file in files] == [
                ("file0", ""),
                ("file1", "file0"),
                ("file2", "file0"),
            ]
            assert (files[2].size, files[2].downloads, files[2].is_public, files[2].meta) == (3, 3, True, {"a": 1})

    async def test_an_account_that_waits_for_its_activation_still_does(
        self, original: Original, database: Database, config: Config
    ) -> None:
        original.user("bob", registerKey="thekeythatwasmailed", passwordTag="half-way")
        report = await run_import(config, original)
        assert sum(report["users"].changed.values()) == 1
        async with opened(database) as store:
            bob = await found(store, "bob")
            assert not bob.is_active
            assert "thekeythatwasmailed" not in bob.register_key
            assert bob.password_tag == ""
            key = await store.find_key(KeyKind.ACTIVATION, bob.id, now=0)
            assert key is not None
            assert key.key_hash == hash_key("thekeythatwasmailed") == bob.register_key

    async def test_a_second_run_does_nothing_but_what_is_new(
        self, original: Original, database: Database, config: Config, tmp_path: Path
    ) -> None:
        fill(original, tmp_path / "copy")
        first = numbers(await run_import(config, original, files=tmp_path / "copy"))
        assert numbers(await run_import(config, original, files=tmp_path / "copy")) == first
        async with opened(database) as store:
            await store.delete_user((await found(store, "Bob")).id)
        original.user("carl")
        again = numbers(await run_import(config, original, files=tmp_path / "copy"))
        assert again["users"] == (3, 3, 0, 0), "who was removed from the target stays away"
        async with opened(database) as store:
            assert await store.find_user("Bob") is None
            assert await store.find_user("carl") is not None

    async def test_from_the_start_finds_all_of_it_present(
        self, original: Original, database: Database, config: Config, tmp_path: Path
    ) -> None:
        fill(original, tmp_path / "copy")
        await run_import(config, original, files=tmp_path / "copy")
        again = await run_import(config, original, files=tmp_path / "copy", from_start=True)
        assert numbers(again) == {
            "users": (2, 0, 2, 0),
            "storageAPI": (1, 1, 0, 0),
            "buckets": (1, 0, 1, 0),
            "files": (3, 0, 3, 0),
            "sessions": (1, 0, 1, 0),
        }
        async with opened(database) as store:
            stats = await store.get_stats((await found(store, "ann")).id)
            assert stats is not None
            assert (stats.calls_used, stats.memory_used) == (12, 6)

    async def test_a_dry_run_tells_the_same_and_changes_nothing(
        self, original: Original, database: Database, config: Config, tmp_path: Path
    ) -> None:
        fill(original, tmp_path / "copy")
        original.user("BOB", email="other@example.com")
        original.user("dora", email="ANN@example.com")
        before = original.dump()
        rehearsed = await run_import(config, original, files=tmp_path / "copy", is_applied=False)
        async with opened(database) as store:
            assert await store.count_users() == 0
            assert (await store.list_sessions(now=0)).count == 0
        assert not (tmp_path / "files").exists()
        applied = await run_import(config, original, files=tmp_path / "copy")
        assert rehearsed.state() == applied.state()
        assert rehearsed["users"].conflicts == {
            "another account has its username": 1,
            "another account has its email": 1,
        }
        assert original.dump() == before


USERS: list[tuple[str, dict[str, Any]]] = [
    ("its username has other characters than letters and digits, or none", {"username": "a b"}),
    ("its username has other characters than letters and digits, or none", {"username": None}),
    ("its username has other characters than letters and digits, or none", {"username": {"gt": ""}}),
    ("its email is no address", {"email": "nowhere"}),
    ("its email is no address", {"email": 5}),
    ("its password is no bcrypt hash", {"password": "plain"}),
    ("its password is no bcrypt hash", {"password": ""}),
    ("its privileges are none of 1, 2 and 3", {"privileges": 0}),
    ("its privileges are none of 1, 2 and 3", {"privileges": True}),
    ("its privileges are none of 1, 2 and 3", {"privileges": None}),
    ("its meta is no object", {"meta": "text"}),
    ("it holds a value of the type bytes", {"meta": {"a": Binary(b"x")}}),
    ("its _id is no ObjectId", {"_id": "text"}),
    ("its _id is no ObjectId", {"_id": 5}),
]


class TestWhatCannotCome:
    async def test_broken_accounts_are_left_out_one_by_one(
        self, original: Original, database: Database, config: Config
    ) -> None:
        for number, (_, fields) in enumerate(USERS):
            original.user(f"broken{number}", **fields)
            original.user(f"whole{number}")
        original.add("users")
        lines: list[Any] = []
        report = await run_import(config, original, lines=lines)
        assert report["users"].imported == len(USERS)
        reasons = [reason for reason, _ in USERS] + [USERS[0][0]]
        assert report["users"].skipped == {reason: reasons.count(reason) for reason in reasons}
        assert sorted(line["reason"] for line in lines) == sorted(reasons)
        assert not any(HASH in str(line) for line in lines)
        async with opened(database) as store:
            assert await store.count_users() == len(USERS)
        assert numbers(await run_import(config, original)) == numbers(report), "counted once"

    async def test_what_is_missing_but_can_be_done_without(
        self, original: Original, database: Database, config: Config
    ) -> None:
        record = make_user("ann", meta=None, createdOn=None, lastLoggedIn="never")
        del record["registerKey"], record["passwordTag"], record["sessionId"]
        original.add("users", **record)
        await run_import(config, original)
        async with opened(database) as store:
            ann = await found(store, "ann")
            assert (ann.meta, ann.last_logged_in, ann.is_active) == ({}, 0, True)
            assert ann.created_on == int(record["_id"].generation_time.timestamp() * 1000)

    async def test_nothing_goes_to_somebody_else_of_the_same_name(
        self, original: Original, database: Database, config: Config, tmp_path: Path
    ) -> None:
        """The account that was in the target keeps its name, and gets nothing of the other one's."""
        async with opened(database) as store:
            await store.create_user(make_target_user("ann"))
        fill(original, tmp_path / "copy")
        report = await run_import(config, original, files=tmp_path / "copy")
        assert report["users"].conflicts == {"another account has its username": 1}
        for collection in ("storageAPI", "buckets", "files", "sessions"):
            assert list(report[collection].skipped) == ["its user was not imported"], collection
        async with opened(database) as store:
            ann = await found(store, "ann")
            assert ann.password_hash != HASH
            assert (await store.list_buckets(ann.id)).count == 0
            assert (await store.list_sessions(now=0)).count == 0

    async def test_buckets_and_stats(self, original: Original, config: Config, database: Database) -> None:
        original.user("ann")
        original.bucket("ann", "good")
        original.bucket("ann", "good", identifier="other")
        original.bucket("ann", "better", identifier="webinate-bucket-good")
        original.bucket("ann", "<b>")
        original.bucket("ann", "no identifier", identifier=None)
        original.bucket("nobody", "lost")
        original.bucket("", "nameless")
        original.stats("ann", apiCallsUsed=-1)
        original.stats("ann", memoryAllocated="all")
        original.stats("ann", apiCallsUsed=1.5)
        report = await run_import(config, original)
        assert report["buckets"].imported == 1
        assert report["buckets"].conflicts == {"another bucket has its name or identifier": 2}
        assert report["buckets"].skipped == {
            "its name has unsafe characters, or none": 1,
            "its identifier is missing, or has unsafe characters": 1,
            "its user was not imported": 1,
            "it names no user": 1,
        }
        assert sum(report["storageAPI"].skipped.values()) == 3

    async def test_sessions(self, original: Original, database: Database, config: Config) -> None:
        original.user("ann", sessionId=COOKIE)
        original.user("bob", sessionId="S" * 26)
        original.user("carl", sessionId="T" * 26)
        original.user("dora", sessionId="T" * 26)
        original.user("emil", sessionId="short")
        original.session(COOKIE)
        original.session("S" * 26, expiration=1)
        original.session("T" * 26)
        original.session("short")
        original.session("U" * 26)
        original.session(None)  # type: ignore[arg-type]
        report = await run_import(replace(config, session=SessionSettings(lifetime_seconds=60)), original)
        assert report["sessions"].imported == 1
        assert report["sessions"].skipped == {
            "it has expired": 1,
            "several users have it": 1,
            "its id has less than 16 characters, so that others could guess it": 1,
            "no user has it": 2,
        }
        async with opened(database) as store:
            (session,) = (await store.list_sessions(now=0)).items
            assert (session.username, session.lifetime_ms) == ("ann", 60_000)
            assert session.expires_at < FAR_AWAY
            assert COOKIE not in repr(session)

    async def test_sessions_can_be_left_out(self, original: Original, database: Database, config: Config) -> None:
        original.user("ann", sessionId=COOKIE)
        original.session(COOKIE)
        report = await run_import(config, original, with_sessions=False)
        assert "sessions" not in report.collections
        async with opened(database) as store:
            assert (await store.list_sessions(now=0)).count == 0


class TestFiles:
    async def test_without_their_contents_they_stay_for_a_later_run(
        self, original: Original, config: Config, database: Database, tmp_path: Path
    ) -> None:
        fill(original, tmp_path / "copy")
        first = await run_import(config, original)
        assert first["files"].skipped == {"its content is not in the database; --files names a copy": 3}
        second = await run_import(config, original, files=tmp_path / "copy")
        assert numbers(second)["files"] == (3, 3, 0, 0)

    async def test_quotas_do_not_hold_back_what_was_there_before(
        self, original: Original, config: Config, database: Database, tmp_path: Path
    ) -> None:
        fill(original, tmp_path / "copy")
        original.database["storageAPI"].update_one(
            {"user": "ann"}, {"$set": {"memoryAllocated": 2, "apiCallsUsed": 345}}
        )
        report = await run_import(config, original, files=tmp_path / "copy")
        assert report["files"].imported == 3
        async with opened(database) as store:
            stats = await store.get_stats((await found(store, "ann")).id)
            assert stats is not None
            assert (stats.memory_used, stats.memory_allocated, stats.calls_used) == (6, 2, 345)

    async def test_what_is_not_as_its_record_says(
        self, original: Original, config: Config, database: Database, tmp_path: Path
    ) -> None:
        original.user("ann")
        bucket = original.bucket("ann", "pictures")
        folder = tmp_path / "copy"
        put_content(folder, original.file(bucket, "longer", b"abc"), b"abcd")
        original.file(bucket, "missing", b"abc")
        original.file(bucket, "..", b"abc")
        original.file(bucket, "../../users.db", b"abc")
        original.file(bucket, "sizeless", b"abc", size=None)
        original.file({**bucket, "identifier": "gone", "name": "gone"}, "homeless", b"abc")
        orphan = original.file(bucket, "orphan", b"abc", parentFile="never-was", isPublic=None)
        put_content(folder, orphan, b"abc")
        twin = original.file(bucket, "orphan", b"abc")
        put_content(folder, twin, b"abc")
        report = await run_import(config, original, files=folder)
        assert report["files"].imported == 1
        assert report["files"].changed == {"its parent file is gone": 1}
        assert report["files"].conflicts == {"another file has its identifier": 1}
        assert report["files"].skipped == {
            "its content in the folder of --files has another size": 1,
            "its content is not in the folder of --files": 1,
            "its identifier, or that of its bucket, cannot be the name of a file": 1,
            "its identifier is missing, or has unsafe characters": 1,
            "its size is no whole number from 0 on": 1,
            "its bucket was not imported": 1,
        }
        async with opened(database) as store:
            file = await store.find_file("orphan")
            assert file is not None
            assert (file.parent_file, file.is_public) == ("", False)

    async def test_an_upload_that_a_killed_run_has_left_is_done_anew(
        self, original: Original, config: Config, database: Database, tmp_path: Path
    ) -> None:
        original.user("ann")
        bucket = original.bucket("ann", "pictures")
        record = original.file(bucket, "half", b"abc")
        put_content(tmp_path / "copy", record, b"abc")
        await run_import(config, original)
        async with opened(database) as store:
            left = StoredFile(
                id=str(record["_id"]),
                name="half.txt",
                identifier="half",
                user_id=(await found(store, "ann")).id,
                username="ann",
                bucket_id=str(bucket["_id"]),
                bucket_name="pictures",
                created_on=CREATED,
            )
            await store.begin_upload(left, expires_at=FAR_AWAY)
        incoming = tmp_path / "files" / "incoming"
        incoming.mkdir(parents=True)
        (incoming / left.id).write_bytes(b"a")
        report = await run_import(config, original, files=tmp_path / "copy")
        assert numbers(report)["files"] == (1, 1, 0, 0)
        assert list(incoming.iterdir()) == []


class TestManyRecords:
    async def test_several_batches(self, original: Original, config: Config, database: Database) -> None:
        original.database["users"].insert_many([make_user(f"user{number}") for number in range(450)])
        report = await run_import(config, original)
        assert numbers(report)["users"] == (450, 450, 0, 0)
        assert report["users"].after == str(original.database["users"].find_one(sort=[("_id", -1)])["_id"])  # type: ignore[index]
        async with opened(database) as store:
            assert await store.count_users() == 450

    async def test_an_id_of_the_target_is_not_taken_for_the_sources(
        self, original: Original, config: Config, database: Database
    ) -> None:
        record = make_user("ann", _id=ObjectId("e" * 24))
        async with opened(database) as store:
            await store.create_user(make_target_user("somebody", id="e" * 24))
        original.add("users", **record)
        report = await run_import(config, original)
        assert report["users"].conflicts == {"another account in the target has its id": 1}
