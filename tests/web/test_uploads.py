"""Uploads over HTTP, on both stores: SQLite with a folder, MongoDB with GridFS."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.contract.databases import Database, MongoDatabase
from tests.web.forms import BOUNDARY, JPEG, PNG, FormFile, form, listed, save, stats, upload
from tests.web.site import Site, SiteMaker
from users_server.backends.mongodb import GridFileStorage
from users_server.protocols.users.schemas import FilesUploadedOutput
from users_server.services.content_settings import FileSettings
from users_server.web.settings import Compatibility

pytestmark = pytest.mark.gen_test(timeout=30)

NO_MEMORY = "You do not have enough memory allocated. Please upgrade your account for more memory"
NO_CALLS = "You have reached your API call limit. Please upgrade your plan for more API calls"
FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


@pytest.fixture
def make_content_site(make_site: SiteMaker, database: Database) -> SiteMaker:
    """Each store with the storage that belongs to it."""

    async def make(**settings: Any) -> Site:
        if isinstance(database, MongoDatabase):
            settings["storage_of"] = lambda: GridFileStorage(database.url)
        return await make_site(store_of=database.store, **settings)

    return make


@pytest.fixture
def content_site(io_loop: IOLoop, make_content_site: SiteMaker) -> Site:
    made: Site = io_loop.run_sync(make_content_site)
    return made


async def test_several_files_and_their_meta(content_site: Site) -> None:
    site, cookie = content_site, await content_site.login("alice")
    site.listener.events.clear()
    files = (FormFile(), FormFile(PNG, "ein Bild ß.png", "image/png", "picture"), FormFile(b"", "empty.txt"))
    reply = await upload(site, cookie, *files, meta={"a.b": [1, None]})
    assert reply.status == 200
    assert reply.message == "Upload complete. [3] Files have been saved."
    tokens = reply.json["tokens"]
    entries = await listed(site, cookie)
    for token, file, entry in zip(tokens, files, entries, strict=True):
        assert token == {
            "file": entry["identifier"],
            "field": file.field,
            "filename": file.name,
            "error": False,
            "errorMsg": "",
            "url": entry["publicURL"],
        }
        assert entry["name"] == file.name
        assert entry["size"] == len(file.content)
        assert entry["mimeType"] == file.type
        assert entry["meta"] == {"a.b": [1, None]}
        assert (entry["user"], entry["bucketName"], entry["parentFile"]) == ("alice", "alice-bucket", None)
        assert entry["isPublic"] is True
        assert entry["numDownloads"] == 0
        assert entry["publicURL"] == f"http://{site.host}/public/{entry['bucketId']}/{entry['identifier']}"
        answer = await site.ask("GET", f"/files/{token['file']}/download", cookie=cookie)
        assert answer.body == file.content
    ((event, data),) = [item for item in site.listener.events if item[0] == "FilesUploaded"]
    assert event == "FilesUploaded"
    assert data == {"username": "alice", "files": entries}
    assert not FilesUploadedOutput().validate(data)
    assert await stats(site) == (1 + 3 + 3, sum(len(file.content) for file in files))


async def test_meta_may_come_last(content_site: Site) -> None:
    cookie = await content_site.login("alice")
    last = form(FormFile()).replace(
        f"--{BOUNDARY}--".encode(),
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="meta"\r\n\r\n"late"\r\n--{BOUNDARY}--'.encode(),
    )
    await content_site.ask("POST", "/buckets/alice-bucket/upload", cookie=cookie, raw=last, headers=FORM)
    assert [entry["meta"] for entry in await listed(content_site, cookie)] == ["late"]


async def test_meta_that_is_no_json_saves_nothing(content_site: Site) -> None:
    cookie = await content_site.login("alice")
    raw = form(FormFile(), fields={"meta": "{"})
    reply = await content_site.ask("POST", "/buckets/alice-bucket/upload", cookie=cookie, raw=raw, headers=FORM)
    assert (reply.status, reply.json["tokens"]) == (422, [])
    assert await listed(content_site, cookie) == []
    assert await stats(content_site) == (1, 0)


@pytest.mark.parametrize(
    ("file", "is_saved"),
    [
        (FormFile(PNG, "a.png", "image/png"), True),
        (FormFile(JPEG, "a.jpg", "image/jpg"), True),
        (FormFile(b"GIF89a" + bytes(20), "a.gif", "Image/GIF"), True),
        (FormFile(b'{"a": 1}', "a.json", "text/json; charset=utf-8"), True),
        (FormFile("Grüße".encode(), "a.txt"), True),
        (FormFile(b"MZ\x90\x00", "a.exe", "application/octet-stream"), True),
        (FormFile(b"\x00\x01", "no type", None), True),
        (FormFile(JPEG, "a.png", "image/png"), False),
        (FormFile(b"<script>alert(1)</script>", "a.png", "image/png"), False),
        (FormFile(b"BM is no bitmap", "a.bmp", "image/bmp"), False),
        (FormFile(PNG, "a.txt", "text/plain"), False),
        (FormFile(b"text\x00with a zero", "a.txt", "text/plain"), False),
        (FormFile(b"x" * 70_000 + b"\xff", "a.txt", "text/plain"), False),
        (FormFile(b"no json", "a.json", "text/json"), False),
        (FormFile(b"<html></html>", "a.html", "text/html"), False),
        (FormFile(b"<svg/>", "a.svg", "image/svg+xml"), False),
    ],
)
async def test_the_content_decides(make_site: SiteMaker, file: FormFile, is_saved: bool) -> None:
    site = await make_site()
    cookie = await site.login("alice")
    reply = await upload(site, cookie, file, FormFile(b"another"))
    first, second = reply.json["tokens"]
    assert first["error"] is not is_saved
    assert bool(first["errorMsg"]) is not is_saved
    assert bool(first["file"]) is bool(first["url"]) is is_saved
    assert second["error"] is False
    assert reply.message == f"Upload complete. [{1 + is_saved}] Files have been saved."
    assert await stats(site) == (2 + is_saved, 7 + len(file.content) * is_saved)
    await site.context.content.uploads.close()
    assert len(kept_files(site)) == 1 + is_saved


@pytest.mark.parametrize(
    ("user", "path", "status", "message"),
    [
        (None, "/buckets/alice-bucket/upload", 401, "You must be logged in to make this request"),
        ("alice", "/buckets/nothing/upload", 404, "No bucket exists with the name 'nothing'"),
        ("chief", "/buckets/alice-bucket/upload", 404, "No bucket exists with the name 'alice-bucket'"),
        ("alice", "/buckets/alice-bucket/upload/nothing", 404, "File 'nothing' does not exist"),
    ],
)
async def test_refusals(content_site: Site, user: str | None, path: str, status: int, message: str) -> None:
    cookie = await content_site.login(user) if user else None
    reply = await upload(content_site, cookie, FormFile(), path=path)
    assert (reply.status, reply.message, reply.json["tokens"]) == (status, message, [])
    assert reply.json["error"] is True
    assert await stats(content_site) == (1, 0)


@pytest.mark.parametrize(
    ("content_type", "body", "status"),
    [
        ("application/json", b"{}", 415),
        ("multipart/form-data", form(FormFile()), 400),
        (f"multipart/form-data; boundary={'x' * 300}", form(FormFile()), 400),
        (FORM["Content-Type"], b"nonsense", 400),
        (FORM["Content-Type"], b"", 400),
        (FORM["Content-Type"], form(FormFile())[:-20], 400),
        (FORM["Content-Type"], form(FormFile())[:60], 400),
        (FORM["Content-Type"], form(FormFile()).replace(b"form-data", b"elsewhere"), 400),
        (FORM["Content-Type"], form(FormFile()).replace(b"text/plain", b"x" * 9000), 400),
    ],
)
async def test_what_is_no_form(make_site: SiteMaker, content_type: str, body: bytes, status: int) -> None:
    site = await make_site()
    reply = await site.ask(
        "POST",
        "/buckets/alice-bucket/upload",
        cookie=await site.login("alice"),
        raw=body,
        headers={"Content-Type": content_type},
    )
    assert (reply.status, reply.json["tokens"]) == (status, [])
    await site.context.content.uploads.close()
    assert kept_files(site) == []


async def test_limits_of_a_request(make_site: SiteMaker) -> None:
    settings = FileSettings(max_request_bytes=20_000, max_fields=2, max_field_bytes=100, max_files=2)
    site = await make_site(files=settings)
    cookie = await site.login("alice")
    bodies = {
        "bytes": form(FormFile(b"x" * 20_000)),
        "fields": form(FormFile(), fields={"a": "1", "b": "2", "c": "3"}),
        "field bytes": form(FormFile(), fields={"a": "1" * 60, "meta": "2" * 60}),
        "files": form(FormFile(), FormFile(), FormFile()),
        "hopeless": form(FormFile(b"x" * 200_000)),
    }
    for name, body in bodies.items():
        reply = await site.ask("POST", "/buckets/alice-bucket/upload", cookie=cookie, raw=body, headers=FORM)
        assert (reply.status, reply.json["tokens"]) == (413, []), name
    await site.context.content.uploads.close()
    assert kept_files(site) == []
    assert await stats(site) == (1, 0)
    assert (await upload(site, cookie, FormFile(b"x" * 19_000))).status == 200


async def test_empty_file_inputs_of_browsers_are_no_files(content_site: Site) -> None:
    cookie = await content_site.login("alice")
    reply = await upload(content_site, cookie, FormFile(b"", "", None))
    assert (reply.json["tokens"], reply.message) == ([], "Upload complete. [0] Files have been saved.")


@pytest.mark.parametrize(
    ("name", "kept"),
    [
        ("../../etc/passwd", "passwd"),
        ("C:\\folder\\file.txt", "file.txt"),
        ("..", "file"),
        ("a\x07b.txt", "ab.txt"),
        ("evil\u202egnp.exe", "evilgnp.exe"),
        ("x" * 400 + ".png", "x" * 251 + ".png"),
    ],
)
async def test_names(make_site: SiteMaker, name: str, kept: str) -> None:
    site = await make_site()
    cookie = await site.login("alice")
    reply = await upload(site, cookie, FormFile(name=name))
    assert reply.json["tokens"][0]["filename"] == kept
    assert all(len(path.name) == 24 for path in kept_files(site))


async def test_the_memory_is_never_exceeded(make_content_site: SiteMaker) -> None:
    """Twenty at once, for which only seven find room."""
    site = await make_content_site(files=FileSettings(memory_allocated=75_000))
    cookie = await site.login("alice")
    replies = await asyncio.gather(*(upload(site, cookie, FormFile(b"x" * 10_000)) for _ in range(20)))
    tokens = [reply.json["tokens"][0] for reply in replies]
    assert sum(not token["error"] for token in tokens) == 7
    assert {token["errorMsg"] for token in tokens} == {"", NO_MEMORY}
    assert await stats(site) == (8, 70_000)
    await site.context.content.uploads.close()
    assert len(await listed(site, cookie)) == 7
    if site.storage_of is None:
        assert len(kept_files(site)) == 7


async def test_the_room_that_is_left_can_be_filled_to_the_byte(make_content_site: SiteMaker) -> None:
    site = await make_content_site(files=FileSettings(memory_allocated=100))
    cookie = await site.login("alice")
    reply = await upload(site, cookie, FormFile(b"x" * 60), FormFile(b"y" * 41), FormFile(b"z" * 40))
    assert [token["errorMsg"] for token in reply.json["tokens"]] == ["", NO_MEMORY, ""]
    assert await stats(site) == (3, 100)


async def test_the_calls_are_never_exceeded(make_content_site: SiteMaker) -> None:
    site = await make_content_site(files=FileSettings(calls_allocated=3))
    cookie = await site.login("alice")
    reply = await upload(site, cookie, FormFile(), FormFile(), FormFile())
    assert [token["errorMsg"] for token in reply.json["tokens"]] == ["", "", NO_CALLS]
    reply = await upload(site, cookie, FormFile())
    assert (reply.status, reply.message, reply.json["tokens"]) == (429, NO_CALLS, [])
    assert (await stats(site))[0] == 3


async def test_what_is_removed_makes_room(make_content_site: SiteMaker) -> None:
    site = await make_content_site(files=FileSettings(memory_allocated=10))
    cookie = await site.login("alice")
    (file,) = await save(site, cookie, FormFile(b"x" * 10))
    assert (await upload(site, cookie, FormFile(b"y"))).json["tokens"][0]["error"] is True
    assert (await site.ask("DELETE", f"/files/{file}", cookie=cookie)).status == 200
    await save(site, cookie, FormFile(b"z" * 10))
    assert await stats(site) == (4, 10)


async def test_an_upload_that_is_cut_leaves_nothing(content_site: Site) -> None:
    site, cookie = content_site, await content_site.login("alice")
    body = form(FormFile(b"first"), FormFile(b"x" * 600_000))
    _, writer = await site.connect()
    head = (
        "POST /buckets/alice-bucket/upload HTTP/1.1\r\n"
        f"Host: {site.host}\r\nCookie: SID={cookie}\r\nContent-Type: {FORM['Content-Type']}\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    writer.write(head.encode() + body[:400_000])
    await writer.drain()
    uploads = site.context.content.uploads
    await turn_until(lambda: uploads.under_way == 2)  # the second file is being written
    writer.close()
    with suppress(ConnectionError):
        await writer.wait_closed()
    await turn_until(lambda: uploads.under_way == 0)
    assert await listed(site, cookie) == []
    assert await stats(site) == (1, 0)
    later = site.clock.now_ms() + 10**9
    assert list(await site.store.take_unfinished_files(now=later, expires_at=later, limit=9)) == []
    if site.storage_of is None:
        assert kept_files(site) == []


async def test_a_client_that_stalls_is_dropped(make_site: SiteMaker) -> None:
    site = await make_site(files=FileSettings(upload_idle_seconds=0.05))
    cookie = await site.login("alice")
    reader, writer = await site.connect()
    head = (
        "POST /buckets/alice-bucket/upload HTTP/1.1\r\n"
        f"Host: {site.host}\r\nCookie: SID={cookie}\r\nContent-Type: {FORM['Content-Type']}\r\n"
        "Content-Length: 1000\r\n\r\n"
    )
    writer.write(head.encode() + form(FormFile(b"x" * 900))[:500])
    assert await asyncio.wait_for(reader.read(), 10) == b""
    writer.close()
    await site.context.content.uploads.close()
    assert kept_files(site) == []


async def test_too_many_at_once(make_site: SiteMaker) -> None:
    site = await make_site(files=FileSettings(max_uploads=1))
    cookie = await site.login("alice")
    replies = await asyncio.gather(*(upload(site, cookie, FormFile(b"x" * 300_000)) for _ in range(4)))
    assert sorted({reply.status for reply in replies}) in ([200], [200, 503])
    assert (await upload(site, cookie, FormFile())).status == 200


async def test_children_go_with_their_parent(content_site: Site) -> None:
    site, cookie = content_site, await content_site.login("alice")
    (parent,) = await save(site, cookie)
    children = await save(site, cookie, FormFile(), FormFile(), path=f"/buckets/alice-bucket/upload/{parent}")
    (grandchild,) = await save(site, cookie, path=f"/buckets/alice-bucket/upload/{children[0]}")
    (other,) = await save(site, cookie)
    entries = {entry["identifier"]: entry["parentFile"] for entry in await listed(site, cookie)}
    assert entries == {
        parent: None,
        children[0]: parent,
        children[1]: parent,
        grandchild: children[0],
        other: None,
    }
    site.listener.events.clear()
    reply = await site.ask("DELETE", f"/files/{parent}", cookie=cookie)
    assert reply.message == "Removed [4] files"
    assert set(reply.json["data"]) == {parent, *children, grandchild}
    assert [event for event, _ in site.listener.events] == ["FilesRemoved"]
    assert [entry["identifier"] for entry in await listed(site, cookie)] == [other]
    assert await stats(site) == (1 + 5 + 4, 10)


async def test_the_digest_is_of_the_content(content_site: Site) -> None:
    cookie = await content_site.login("alice")
    (file,) = await save(content_site, cookie, FormFile(PNG, "a.png", "image/png"))
    found = await content_site.store.find_file(file)
    assert found is not None
    assert found.digest == hashlib.sha256(PNG).hexdigest()


async def test_foreign_pages_may_not_upload(content_site: Site) -> None:
    reply = await content_site.ask(
        "POST",
        "/buckets/alice-bucket/upload",
        cookie=await content_site.login("alice"),
        raw=form(FormFile()),
        headers=FORM | {"Origin": "https://evil.example"},
    )
    assert reply.status == 403
    assert await stats(content_site) == (1, 0)


async def test_webinate_answers_refusals_with_200(make_site: SiteMaker) -> None:
    site = await make_site(compatibility=Compatibility.WEBINATE)
    reply = await upload(site, await site.login("alice"), FormFile(), bucket="nothing")
    assert reply.status == 200
    expected = {"message": "No bucket exists with the name 'nothing'", "error": True, "tokens": []}
    assert reply.json == expected


async def turn_until(condition: Callable[[], bool]) -> None:
    """Let the loop turn until ``condition`` holds; the test's own timeout ends what never comes."""
    while not condition():  # noqa: ASYNC110 - what is waited for happens in other tasks of this loop
        await asyncio.sleep(0)


def kept_files(site: Site) -> list[Path]:
    """What is in the folder, unfinished or not."""
    return [path for path in (site.directory / "files").rglob("*") if path.is_file()]
