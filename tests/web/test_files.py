"""Files that are there, over HTTP: the rows of users-http-api.md, on both stores."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator

import pytest

from tests.web.forms import FormFile, listed, save, stats
from tests.web.site import Site, SiteMaker
from users_server.core.files import StoredFile
from users_server.protocols.users.schemas import FilesRemovedOutput
from users_server.services.content_settings import FileSettings

pytestmark = pytest.mark.gen_test(timeout=30)

NO_CALLS = "You have reached your API call limit. Please upgrade your plan for more API calls"


async def test_lists(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    await save(any_site, cookie, *(FormFile(name=f"File {number}.txt") for number in range(5)))
    path = "/users/alice/buckets/alice-bucket/files"
    for query, names, count in (
        ("?index=1&limit=2", ["File 1.txt", "File 2.txt"], 5),
        ("?search=FILE%203", ["File 3.txt"], 1),
        ("?search=.*", [], 0),
    ):
        reply = await any_site.ask("GET", path + query, cookie=cookie)
        assert reply.message == f"Found [{count}] files"
        assert ([entry["name"] for entry in reply.json["data"]], reply.json["count"]) == (names, count)
    assert await stats(any_site) == (6, 50), "lists are free"


@pytest.mark.parametrize(
    ("user", "path", "status", "message"),
    [
        (None, "/users/alice/buckets/alice-bucket/files", 401, "You must be logged in to make this request"),
        ("bob", "/users/alice/buckets/alice-bucket/files", 403, "You don't have permission to make this request"),
        ("alice", "/users/alice/buckets/x/files", 404, "Error: Could not find the bucket 'x'"),
        ("deputy", "/users/alice/buckets/x/files", 404, "Error: Could not find the bucket 'x'"),
        ("deputy", "/users/nobody/buckets/x/files", 404, "Could not find a user with the name 'nobody'"),
        ("deputy", "/users/alice/buckets/alice-bucket/files", 200, "Found [0] files"),
    ],
)
async def test_who_sees_lists(any_site: Site, user: str | None, path: str, status: int, message: str) -> None:
    cookie = await any_site.login(user) if user else None
    reply = await any_site.ask("GET", path, cookie=cookie)
    assert (reply.status, reply.message) == (status, message)


async def test_a_file_is_renamed(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    (file,) = await save(any_site, cookie)
    reply = await any_site.ask("PUT", f"/files/{file}/rename-file", {"name": "neu ß.txt"}, cookie=cookie)
    assert reply.json == {"message": "Renamed file to 'neu ß.txt'", "error": False}
    assert [entry["name"] for entry in await listed(any_site, cookie)] == ["neu ß.txt"]
    assert await stats(any_site) == (3, 10)


@pytest.mark.parametrize("body", [{}, {"name": ""}, {"name": "  "}])
async def test_a_name_is_needed(any_site: Site, body: dict[str, str]) -> None:
    cookie = await any_site.login("alice")
    (file,) = await save(any_site, cookie)
    reply = await any_site.ask("PUT", f"/files/{file}/rename-file", body, cookie=cookie)
    assert (reply.status, reply.message) == (422, "Please specify the new name of the file")
    assert await stats(any_site) == (2, 10)


async def test_a_file_is_made_private_and_public_again(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    (file,) = await save(any_site, cookie)
    for verb, is_public in (("private", False), ("public", True)):
        reply = await any_site.ask("PUT", f"/files/{file}/make-{verb}", cookie=cookie)
        assert reply.message == f"File is now {verb}"
        (entry,) = await listed(any_site, cookie)
        assert reply.json["data"] == entry
        assert entry["isPublic"] is is_public
    assert await stats(any_site) == (4, 10)


@pytest.mark.parametrize(
    ("method", "action"), [("PUT", "rename-file"), ("PUT", "make-public"), ("PUT", "make-private")]
)
async def test_only_ones_own(any_site: Site, method: str, action: str) -> None:
    (file,) = await save(any_site, await any_site.login("alice"))
    body = {"name": "x"} if action == "rename-file" else None
    for user, name, status in ((None, file, 401), ("bob", file, 404), ("chief", file, 404), ("alice", "nothing", 404)):
        cookie = await any_site.login(user) if user else None
        reply = await any_site.ask(method, f"/files/{name}/{action}", body, cookie=cookie)
        assert reply.status == status
        assert status == 401 or reply.message == f"File '{name}' does not exist"
    assert await stats(any_site) == (2, 10)


async def test_files_are_removed(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    first, second, third = await save(any_site, cookie, FormFile(b"1"), FormFile(b"22"), FormFile(b"333"))
    any_site.listener.events.clear()
    entries = await listed(any_site, cookie)
    reply = await any_site.ask("DELETE", f"/files/{first},nothing,{third},{first}", cookie=cookie)
    assert reply.json == {"message": "Removed [2] files", "error": False, "data": [first, third]}
    ((event, data),) = any_site.listener.events
    assert event == "FilesRemoved"
    assert data == {"files": [entries[0], entries[2]]}
    assert not FilesRemovedOutput().validate(data)
    assert [entry["identifier"] for entry in await listed(any_site, cookie)] == [second]
    assert await stats(any_site) == (6, 2)
    for path in (f"/files/{first}/download", f"/public/{entries[0]['bucketId']}/{first}"):
        assert (await any_site.ask("GET", path)).status == 404


async def test_removing_what_is_not_ones_own(any_site: Site) -> None:
    (file,) = await save(any_site, await any_site.login("alice"))
    any_site.listener.events.clear()
    reply = await any_site.ask("DELETE", f"/files/{file}", cookie=await any_site.login("chief"))
    assert (reply.status, reply.message, reply.json["data"]) == (200, "Removed [0] files", [])
    assert (await any_site.ask("DELETE", f"/files/{file}")).status == 401
    assert "FilesRemoved" not in [event for event, _ in any_site.listener.events]
    assert await stats(any_site) == (2, 10)


async def test_a_file_is_removed_once_however_many_ask(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    (file,) = await save(any_site, cookie)
    any_site.listener.events.clear()
    replies = await asyncio.gather(*(any_site.ask("DELETE", f"/files/{file}", cookie=cookie) for _ in range(6)))
    assert sorted(len(reply.json["data"]) for reply in replies) == [0] * 5 + [1]
    assert [event for event, _ in any_site.listener.events] == ["FilesRemoved"]
    assert await stats(any_site) == (3, 0)


async def test_without_a_call_left(make_any_site: SiteMaker) -> None:
    site = await make_any_site(files=FileSettings(calls_allocated=2))
    cookie = await site.login("alice")
    (file,) = await save(site, cookie)
    requests = (
        ("PUT", f"/files/{file}/rename-file", {"name": "x"}),
        ("PUT", f"/files/{file}/make-private", None),
        ("PUT", f"/files/{file}/make-public", None),
        ("GET", f"/files/{file}/download", None),
    )
    for method, path, body in requests:
        reply = await site.ask(method, path, body, cookie=cookie)
        assert (reply.status, reply.message) == (429, NO_CALLS)
    (entry,) = await listed(site, cookie)
    assert (entry["name"], entry["isPublic"], entry["numDownloads"]) == ("notes.txt", True, 0)
    assert (await site.ask("GET", f"/public/{entry['bucketId']}/{file}")).status == 200
    assert (await site.ask("DELETE", f"/files/{file}", cookie=cookie)).message == "Removed [1] files"
    assert await stats(site) == (3, 0)


async def test_what_a_dead_node_left_is_swept(make_any_site: SiteMaker) -> None:
    """An upload, a removal with a child and a bucket, each stopped in the middle."""
    site = await make_any_site()
    cookie = await site.login("alice")
    (parent,) = await save(site, cookie, FormFile(b"1"))
    (child,) = await save(site, cookie, FormFile(b"22"), path=f"/buckets/alice-bucket/upload/{parent}")
    await site.ask("POST", "/users/alice/buckets/doomed", cookie=cookie)
    (lost,) = await save(site, cookie, FormFile(b"333"), bucket="doomed")
    soon = site.clock.now_ms() + 1000
    found = await site.store.find_file(parent)
    alive = await site.store.find_user("alice")
    assert found is not None
    assert alive is not None
    bucket = await site.store.find_bucket(alive.id, "doomed")
    assert bucket is not None
    await site.store.remove_file(found.id, expires_at=soon)
    await site.store.remove_bucket(bucket.id, expires_at=soon)
    for key, expires_at in (("1" * 24, soon), ("2" * 24, soon + 10**6)):
        upload = StoredFile(key, "n", key, alive.id, "alice", found.bucket_id, "alice-bucket", soon)
        await site.store.begin_upload(upload, expires_at=expires_at)
        await site.storage.write(key, one_chunk(b"bytes without a file"))
    sweeper = site.context.content.sweeper
    assert await sweeper.sweep() == 0
    site.clock.advance(2)
    site.listener.events.clear()
    assert await sweeper.sweep() == 3
    assert await sweeper.sweep() == 0
    names = sorted(event for event, _ in site.listener.events)
    assert names == ["BucketRemoved", "FilesRemoved", "FilesRemoved"]
    for identifier in (parent, child, lost):
        assert await site.store.find_file(identifier) is None
    left = {path.name for path in (site.directory / "files").rglob("*") if path.is_file()}
    assert left == {"2" * 24}, "what another node is uploading stays"
    assert await stats(site) == (5 + 3, 0)


async def test_what_an_account_left_is_swept(make_any_site: SiteMaker) -> None:
    site = await make_any_site()
    cookie = await site.login("alice")
    (file,) = await save(site, cookie)
    user = await site.store.find_user("alice")
    assert user is not None
    await site.store.delete_user(user.id)
    await site.context.content.sweeper.sweep_accounts()
    assert await site.store.find_file(file) is None
    assert await site.store.get_stats(user.id) is None
    assert not [path for path in (site.directory / "files").rglob("*") if path.is_file()]
    assert await site.store.get_stats(site.by_chief.user_id or "") is not None


async def one_chunk(content: bytes) -> AsyncIterator[bytes]:
    yield content
