"""
The import itself, one collection after the other, in the order of the records' ids; those that have nothing to do with
each other come side by side.

Every record keeps its id, so that whatever has happened before, a look into the target tells whether it is done. The
checkpoint, which is written after each batch, only saves the looking.
"""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace

from users_server.core.accounts import KeyKind, OneTimeKey, User
from users_server.core.clock import Clock
from users_server.core.files import Bucket, StorageStats, StoredFile
from users_server.core.imports import ImportSource, SourceRecord
from users_server.core.messages import JSON
from users_server.errors import Conflict
from users_server.services.importing import records
from users_server.services.importing.contents import OTHER_SIZE, Content, ContentFolder
from users_server.services.importing.lanes import side_by_side
from users_server.services.importing.report import ImportReport, Skipped
from users_server.services.importing.target import ContentTarget, ImportTarget

COLLECTIONS = ("users", "storageAPI", "buckets", "files", "sessions")
"""In the order in which they are imported: each needs those before it."""

BATCH = 200
SESSION_BATCH = 2000
"""Whose they are is asked for all of a batch in one query, which the source may have no index for."""

AT_ONCE = 8
"""More gain nothing on SQLite, and may overtax a small MongoDB."""
MOST_OWNERS = 1000
FILE_LEASE_MS = 3_600_000
"""How long a file may take; what a crash leaves behind is removed by the server's sweeper after it."""

NO_USER = "its user was not imported"


@dataclass(frozen=True, slots=True)
class Taken:
    """A record is in the target; not ``is_new``: it was before. ``changed`` tells what of it is lost, if anything."""

    is_new: bool
    name: str = ""
    changed: str = ""


Take = Callable[[SourceRecord], Awaitable[Taken]]
"""Imports one record. Raises :class:`Skipped`."""

Progress = Callable[[str, int], None]
"""Is told how many records of a collection more are done."""


@dataclass(frozen=True, slots=True)
class ImportSettings:
    """
    What the source does not say.

    Attributes:
        calls_allocated, memory_allocated: Of an account for which the source has no numbers.
        session_lifetime_ms: No session lives longer from now on.
        activation_key_seconds: How long a key that the original has mailed stays good.
    """

    calls_allocated: int
    memory_allocated: int
    session_lifetime_ms: int
    activation_key_seconds: int
    with_sessions: bool = True


class Importer:
    """One import from ``source`` to ``target``. ``report`` begins with what earlier runs did, and is the checkpoint."""

    def __init__(
        self,
        source: ImportSource,
        target: ImportTarget,
        storage: ContentTarget,
        contents: ContentFolder,
        report: ImportReport,
        settings: ImportSettings,
        clock: Clock,
    ) -> None:
        self._source = source
        self._target = target
        self._storage = storage
        self._contents = contents
        self._report = report
        self._settings = settings
        self._clock = clock
        self._owners: dict[str, User | None] = {}
        self._session_owners: Mapping[str, Sequence[str]] = {}

    async def run(self, on_progress: Progress = lambda _collection, _count: None) -> None:
        """
        Import what is left.

        Raises:
            StoreUnavailable: If the source or the target is away. What was done is done; the next run goes on.
        """
        takes: dict[str, Take] = {
            "users": self._take_user,
            "storageAPI": self._take_stats,
            "buckets": self._take_bucket,
            "files": self._take_file,
            "sessions": self._take_session,
        }
        for collection in COLLECTIONS:
            if collection != "sessions" or self._settings.with_sessions:
                await self._import(collection, takes[collection], on_progress)

    async def _import(self, collection: str, take: Take, on_progress: Progress) -> None:
        report = self._report[collection]
        size = SESSION_BATCH if collection == "sessions" else BATCH
        async with aclosing(self._source.read(collection, after=report.after, size=size)) as batches:
            async for batch in batches:
                if collection == "sessions":
                    await self._find_session_owners(batch)
                await self._import_batch(collection, take, batch)
                report.after = batch[-1].id
                await self._save()
                on_progress(collection, len(batch))
        if not report.is_strange_done:
            async for record in self._source.read_strange(collection):
                self._note(collection, record, await _try(take, record))
                on_progress(collection, 1)
            report.is_strange_done = True
            await self._save()

    async def _import_batch(self, collection: str, take: Take, batch: Sequence[SourceRecord]) -> None:
        """What comes of it is noted when all is done, in the order of the records, however they overtook each other."""
        outcomes = await side_by_side(
            batch,
            lambda record: records.keys_of(collection, record),
            lambda record: _try(take, record),
            at_once=AT_ONCE,
        )
        for record, outcome in zip(batch, outcomes, strict=True):
            self._note(collection, record, outcome)

    def _note(self, collection: str, record: SourceRecord, outcome: Taken | Skipped) -> None:
        report = self._report[collection]
        report.read += 1
        if isinstance(outcome, Skipped):
            self._report.skip(collection, record.id, records.name_of(record.values), outcome)
            return
        if outcome.changed:
            self._report.change(collection, record.id, outcome.name, outcome.changed)
        report.imported += outcome.is_new
        report.present += not outcome.is_new

    async def _save(self) -> None:
        state = self._report.state()
        if not self._contents.is_there:
            state.pop("files", None)  # a later run may have the contents
        await self._target.put_import(self._source.name, {"collections": state})

    async def _take_user(self, record: SourceRecord) -> Taken:
        imported = records.read_user(record)
        user = imported.user
        present = await self._target.get_user(user.id)
        if present is None:
            await self._create_user(user)
        elif present.username.casefold() != user.username.casefold():
            raise Skipped("another account in the target has its id", is_conflict=True)
        # all of this again for one that is there: the run before may have ended between two of these lines
        settings = self._settings
        await self._target.create_stats(
            StorageStats(
                id=secrets.token_hex(12),
                user_id=user.id,
                username=user.username,
                calls_allocated=settings.calls_allocated,
                memory_allocated=settings.memory_allocated,
            )
        )
        if user.register_key and (present is None or present.register_key == user.register_key):
            now = self._clock.now_ms()
            expires_at = now + settings.activation_key_seconds * 1000
            await self._target.put_key(OneTimeKey(KeyKind.ACTIVATION, user.id, user.register_key, now, expires_at))
        is_dropped = present is None and imported.had_password_tag
        return Taken(present is None, user.username, records.RESET_DROPPED if is_dropped else "")

    async def _create_user(self, user: User) -> None:
        try:
            await self._target.create_user(user)
        except Conflict as error:
            other = await self._target.find_user(user.username)
            taken = "username" if other is not None and _is_named(other, user.username) else "email"
            raise Skipped(f"another account has its {taken}", is_conflict=True) from error

    async def _take_stats(self, record: SourceRecord) -> Taken:
        user = await self._owner(record)
        stats = records.read_stats(record)
        is_there = await self._target.change_stats(
            user.id,
            calls_used=stats.calls_used,
            calls_allocated=stats.calls_allocated,
            memory_allocated=stats.memory_allocated,
        )
        return Taken(is_there)

    async def _take_bucket(self, record: SourceRecord) -> Taken:
        bucket = records.read_bucket(record, await self._owner(record))
        present = await self._target.find_bucket(bucket.user_id, bucket.identifier)
        if present is not None and present.id == bucket.id:
            return Taken(is_new=False)
        try:
            await self._target.create_bucket(bucket)
        except Conflict as error:
            raise Skipped("another bucket has its name or identifier", is_conflict=True) from error
        return Taken(is_new=True)

    async def _take_file(self, record: SourceRecord) -> Taken:
        user = await self._owner(record)
        bucket = await self._bucket_of(record, user)
        file = records.read_file(record, user, bucket)
        present = await self._target.find_file(file.identifier)
        if present is not None:
            if present.id == file.id and present.user_id == user.id:
                return Taken(is_new=False)
            raise Skipped("another file has its identifier", is_conflict=True)
        content = await self._contents.find(bucket.identifier, file.identifier, file.size)
        parent = await self._target.find_file(file.parent_file) if file.parent_file else None
        is_orphan = bool(file.parent_file) and (parent is None or parent.user_id != user.id)
        await self._upload(replace(file, parent_file="") if is_orphan else file, content)
        return Taken(is_new=True, name=file.name, changed="its parent file is gone" if is_orphan else "")

    async def _bucket_of(self, record: SourceRecord, user: User) -> Bucket:
        for key in ("bucketId", "bucketName"):
            name = record.values.get(key)
            bucket = await self._target.find_bucket(user.id, name) if isinstance(name, str) and name else None
            if bucket is not None:
                return bucket
        raise Skipped("its bucket was not imported")

    async def _upload(self, file: StoredFile, content: Content) -> None:
        await self._discard(file)  # what a run that was killed has left
        await self._target.begin_upload(file, expires_at=self._lease())
        try:
            await self._write(file, content)
        except BaseException as error:
            await self._discard(file)
            if isinstance(error, OSError):
                raise Skipped("its content in the folder of --files cannot be read") from error
            raise

    async def _write(self, file: StoredFile, content: Content) -> None:
        await self._storage.write(file.id, content.chunks())
        if content.size != file.size:
            raise Skipped(OTHER_SIZE)
        saved = replace(file, digest=content.digest)
        if await self._target.commit_upload(saved, is_import=True) is not None:
            raise Skipped("its bucket was removed from the target meanwhile", is_conflict=True)

    async def _discard(self, file: StoredFile) -> None:
        """Remove it, if it was begun and not saved."""
        if await self._target.abandon_upload(file.id, expires_at=self._lease()):
            await self._storage.delete(file.id)
            await self._target.forget_file(file.id)

    async def _find_session_owners(self, batch: Sequence[SourceRecord]) -> None:
        ids = [value for record in batch if isinstance(value := record.values.get("sessionId"), str) and value]
        self._session_owners = await self._source.owners_of_sessions(ids)

    async def _take_session(self, record: SourceRecord) -> Taken:
        session_id = record.values.get("sessionId")
        owners = self._session_owners.get(session_id, ()) if isinstance(session_id, str) else ()
        if len(owners) != 1:
            raise Skipped("several users have it" if owners else "no user has it")
        user = await self._target.get_user(owners[0])
        if user is None:
            raise Skipped(NO_USER)
        now = self._clock.now_ms()
        session = records.read_session(record, user, now=now, lifetime_ms=self._settings.session_lifetime_ms)
        if await self._target.find_session(session.token_hash, now=now) is not None:
            return Taken(is_new=False)
        try:
            await self._target.create_session(session)
        except Conflict as error:
            raise Skipped("another session has its id", is_conflict=True) from error
        return Taken(is_new=True)

    async def _owner(self, record: SourceRecord) -> User:
        """Whose it is. An account of that name that was in the target before is somebody else's."""
        name: JSON = record.values.get("user")
        if not isinstance(name, str) or not name:
            raise Skipped("it names no user")
        key = name.casefold()
        if key not in self._owners:
            if len(self._owners) >= MOST_OWNERS:
                self._owners.clear()
            self._owners[key] = await self._find_owner(name)
        user = self._owners[key]
        if user is None:
            raise Skipped(NO_USER)
        return user

    async def _find_owner(self, name: str) -> User | None:
        user = await self._target.find_user(name)
        if user is None or not _is_named(user, name) or not await self._source.has_user(user.id, name):
            return None
        return user

    def _lease(self) -> int:
        return self._clock.now_ms() + FILE_LEASE_MS


async def _try(take: Take, record: SourceRecord) -> Taken | Skipped:
    if record.problem:
        return Skipped(record.problem)
    try:
        return await take(record)
    except Skipped as error:
        return error


def _is_named(user: User, name: str) -> bool:
    return user.username.casefold() == name.casefold()
