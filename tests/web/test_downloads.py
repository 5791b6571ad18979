"""Downloads over HTTP: bytes, parts, conditions, compression, and what a browser is told."""

from __future__ import annotations

import asyncio
import email.utils
import gzip

import pytest

from tests.web.forms import JPEG, PNG, FormFile, listed, save, stats
from tests.web.site import Site, SiteMaker
from users_server.services.content_settings import ALLOWED_TYPES, FileSettings
from users_server.web.settings import Compatibility, HttpSettings

pytestmark = pytest.mark.gen_test(timeout=30)

TEXT = b"".join(b"line %d of the text\n" % number for number in range(20_000))


async def test_the_bytes_and_what_is_said_of_them(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    (file,) = await save(any_site, cookie, FormFile(PNG, 'a "ß" 100%.png', "image/png"))
    reply = await any_site.ask("GET", f"/files/{file}/download")
    assert (reply.status, reply.body) == (200, PNG)
    found = await any_site.store.find_file(file)
    assert found is not None
    expected = {
        "Content-Type": "image/png",
        "Content-Length": str(len(PNG)),
        "Content-Disposition": "inline; filename=\"a ___ 100_.png\"; filename*=UTF-8''a%20%22%C3%9F%22%20100%25.png",
        "Accept-Ranges": "bytes",
        "ETag": f'"{found.digest}"',
        "Last-Modified": email.utils.formatdate(found.created_on // 1000, usegmt=True),
        "X-Content-Type-Options": "nosniff",
        "Content-Security-Policy": "sandbox; default-src 'none'",
        "Cache-Control": "private, no-cache",
    }
    assert {name: reply.headers[name] for name in expected} == expected
    assert await stats(any_site) == (3, len(PNG))
    assert [entry["numDownloads"] for entry in await listed(any_site, cookie)] == [1]


async def test_an_unknown_file(any_site: Site) -> None:
    for path in ("/files/nothing/download", "/public/nothing/nothing"):
        reply = await any_site.ask("GET", path)
        assert (reply.status, reply.json) == (404, {"message": "File not found", "error": True})


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("bob", 403), ("alice", 200), ("deputy", 200)])
async def test_a_private_file(any_site: Site, user: str | None, status: int) -> None:
    owner = await any_site.login("alice")
    (file,) = await save(any_site, owner)
    (entry,) = await listed(any_site, owner)
    assert (await any_site.ask("PUT", f"/files/{file}/make-private", cookie=owner)).status == 200
    cookie = await any_site.login(user) if user else None
    assert (await any_site.ask("GET", f"/files/{file}/download", cookie=cookie)).status == status
    assert (await any_site.ask("GET", f"/public/{entry['bucketId']}/{file}", cookie=cookie)).status == 404
    assert (await stats(any_site))[0] == 3 + (status == 200)


async def test_webinate_gives_private_files_to_whoever_knows_the_id(make_any_site: SiteMaker) -> None:
    site = await make_any_site(compatibility=Compatibility.WEBINATE)
    owner = await site.login("alice")
    (file,) = await save(site, owner)
    await site.ask("PUT", f"/files/{file}/make-private", cookie=owner)
    assert (await site.ask("GET", f"/files/{file}/download")).body == b"some text\n"
    assert (await site.ask("GET", "/files/nothing/download")).status == 404, "downloads keep their codes"


async def test_the_public_address(any_site: Site) -> None:
    owner = await any_site.login("alice")
    (file,) = await save(any_site, owner)
    (entry,) = await listed(any_site, owner)
    path = entry["publicURL"].removeprefix(f"http://{any_site.host}")
    reply = await any_site.ask("GET", path, cookie=owner)
    assert (reply.status, reply.body) == (200, b"some text\n")
    assert reply.headers["Cache-Control"] == "public, max-age=300"
    assert reply.set_cookies == (), "a cache may keep this"
    assert (await any_site.ask("GET", f"/public/{'0' * 24}/{file}")).status == 404
    assert (await stats(any_site))[0] == 2
    assert [found["numDownloads"] for found in await listed(any_site, owner)] == [0]


@pytest.mark.parametrize(
    ("asked", "span"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=10-19", (10, 20)),
        ("bytes=400000-", (400_000, None)),
        ("bytes=-5", (-5, None)),
        ("bytes=-99999999", (0, None)),
        ("bytes=5-99999999", (5, None)),
    ],
)
async def test_a_part(any_site: Site, asked: str, span: tuple[int, int | None]) -> None:
    (file,) = await save(any_site, await any_site.login("alice"), FormFile(TEXT))
    reply = await any_site.ask("GET", f"/files/{file}/download", headers={"Range": asked, "Accept-Encoding": "gzip"})
    part = TEXT[slice(*span)]
    start = TEXT.index(part) if len(part) > 20 else slice(*span).indices(len(TEXT))[0]
    assert (reply.status, reply.body) == (206, part)
    assert reply.headers["Content-Range"] == f"bytes {start}-{start + len(part) - 1}/{len(TEXT)}"
    assert reply.headers["Content-Length"] == str(len(part))
    assert "Content-Encoding" not in reply.headers


@pytest.mark.parametrize("asked", ["bytes=999999999-", "bytes=-0"])
async def test_a_part_that_is_not_there(site: Site, asked: str) -> None:
    (file,) = await save(site, await site.login("alice"), FormFile(TEXT))
    reply = await site.ask("GET", f"/files/{file}/download", headers={"Range": asked})
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["Content-Range"] == f"bytes */{len(TEXT)}"
    assert await stats(site) == (2, len(TEXT)), "nothing was sent, nothing is counted"


@pytest.mark.parametrize(
    "asked", ["bytes=0-1,5-6", "bytes=5-1", "bytes=-", "bytes=x-", "lines=1-2", "0-5", "bytes=\u0661-"]
)
async def test_what_is_no_single_part_gets_all(site: Site, asked: str) -> None:
    (file,) = await save(site, await site.login("alice"), FormFile(TEXT))
    reply = await site.send(f"GET /files/{file}/download HTTP/1.1", f"Range: {asked}".encode().decode("latin-1"))
    assert (reply.status, reply.body) == (200, TEXT)


async def test_conditions(any_site: Site) -> None:
    (file,) = await save(any_site, await any_site.login("alice"), FormFile(TEXT))
    path = f"/files/{file}/download"
    first = await any_site.ask("GET", path)
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    calls = (await stats(any_site))[0]
    unchanged = (
        {"If-None-Match": tag},
        {"If-None-Match": f'"other", W/{tag}'},
        {"If-None-Match": "*"},
        {"If-Modified-Since": modified},
        {"If-None-Match": tag, "If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT", "Range": "bytes=0-1"},
    )
    for headers in unchanged:
        reply = await any_site.ask("GET", path, headers=headers)
        assert (reply.status, reply.body, reply.headers["ETag"]) == (304, b"", tag), headers
    assert (await stats(any_site))[0] == calls
    changed = (
        {"If-None-Match": '"other"'},
        {"If-None-Match": '"other"', "If-Modified-Since": modified},
        {"If-Modified-Since": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"If-Modified-Since": "nonsense"},
    )
    for headers in changed:
        assert (await any_site.ask("GET", path, headers=headers)).status == 200, headers


async def test_if_range(site: Site) -> None:
    (file,) = await save(site, await site.login("alice"), FormFile(TEXT))
    path = f"/files/{file}/download"
    first = await site.ask("HEAD", path)
    tag, modified = first.headers["ETag"], first.headers["Last-Modified"]
    for condition, status in {
        tag: 206,
        modified: 206,
        '"other"': 200,
        f"W/{tag}": 200,
        "Thu, 01 Jan 1970 00:00:00 GMT": 200,
        "nonsense": 200,
    }.items():
        reply = await site.ask("GET", path, headers={"Range": "bytes=0-9", "If-Range": condition})
        assert reply.status == status, condition


async def test_gzip_when_asked(any_site: Site) -> None:
    (file,) = await save(any_site, await any_site.login("alice"), FormFile(TEXT))
    head = f"GET /files/{file}/download HTTP/1.1"
    plain = await any_site.send(head)
    packed = await any_site.send(head, "Accept-Encoding: br, GZIP;q=0.5")
    assert plain.body == TEXT
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(unchunked(packed.body)) == TEXT
    assert packed.headers["ETag"] != plain.headers["ETag"]
    assert "Accept-Encoding" in packed.headers["Vary"]
    for line in ("Accept-Encoding: gzip;q=0", "Accept-Encoding: br", "Accept-Encoding: *;q=0, identity"):
        assert (await any_site.send(head, line)).body == TEXT
    unchanged = await any_site.send(head, f"If-None-Match: {packed.headers['ETag']}", "Accept-Encoding: gzip")
    assert unchanged.status == 304


async def test_pictures_are_not_compressed_again(site: Site) -> None:
    (file,) = await save(site, await site.login("alice"), FormFile(JPEG * 10, "a.jpg", "image/jpeg"))
    reply = await site.send(f"GET /files/{file}/download HTTP/1.1", "Accept-Encoding: gzip")
    assert reply.body == JPEG * 10


async def test_head_says_the_same_and_counts_nothing(site: Site) -> None:
    (file,) = await save(site, await site.login("alice"), FormFile(TEXT))
    reply = await site.ask("HEAD", f"/files/{file}/download", headers={"Range": "bytes=0-1"})
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(TEXT))
    assert await stats(site) == (2, len(TEXT))


async def test_an_empty_file(any_site: Site) -> None:
    (file,) = await save(any_site, await any_site.login("alice"), FormFile(b""))
    reply = await any_site.ask("GET", f"/files/{file}/download")
    assert (reply.status, reply.body, reply.headers["Content-Length"]) == (200, b"", "0")
    assert (await any_site.ask("GET", f"/files/{file}/download", headers={"Range": "bytes=0-"})).status == 416
    assert (await stats(any_site))[0] == 3


@pytest.mark.parametrize(
    ("kind", "content", "shown", "disposition"),
    [
        ("text/plain", b"<script>alert(1)</script>", "text/plain; charset=utf-8", "inline"),
        ("text/json", b"{}", "application/json", "attachment"),
        ("application/octet-stream", b"<html>", "application/octet-stream", "attachment"),
        ("text/html", b"<html></html>", "application/octet-stream", "attachment"),
        ("image/svg+xml", b"<svg/>", "application/octet-stream", "attachment"),
        ("application/xhtml+xml", b"<html/>", "application/octet-stream", "attachment"),
        ("image/jpg", JPEG, "image/jpeg", "inline"),
    ],
)
async def test_nothing_runs_in_our_origin(
    make_site: SiteMaker, kind: str, content: bytes, shown: str, disposition: str
) -> None:
    types = (*ALLOWED_TYPES, "text/html", "image/svg+xml", "application/xhtml+xml")
    site = await make_site(files=FileSettings(allowed_types=types))
    owner = await site.login("alice")
    (file,) = await save(site, owner, FormFile(content, "page.html", kind))
    (entry,) = await listed(site, owner)
    for path in (f"/files/{file}/download", f"/public/{entry['bucketId']}/{file}"):
        reply = await site.ask("GET", path)
        assert reply.body == content
        assert reply.headers["Content-Type"] == shown
        assert reply.headers["Content-Disposition"].startswith(f"{disposition}; ")
        assert reply.headers["X-Content-Type-Options"] == "nosniff"
        assert reply.headers["Content-Security-Policy"].startswith("sandbox;")


async def test_a_client_that_does_not_read_is_dropped(make_site: SiteMaker) -> None:
    files = FileSettings(max_request_bytes=30_000_000)
    site = await make_site(files=files, http=HttpSettings(idle_timeout_seconds=0.2))
    owner = await site.login("alice")
    (file,) = await save(site, owner, FormFile(bytes(20_000_000), "large", "application/octet-stream"))
    reader, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    writer.write(f"GET /files/{file}/download HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
    downloads = site.context.content.files
    async with asyncio.timeout(20):
        while downloads.under_way == 0:  # noqa: ASYNC110 - what is waited for happens in other tasks of this loop
            await asyncio.sleep(0)
        while downloads.under_way:  # noqa: ASYNC110
            await asyncio.sleep(0)
    received = await reader.read(-1)
    assert 0 < len(received) < 20_000_000
    writer.close()


async def test_too_many_downloads_at_once(make_site: SiteMaker) -> None:
    site = await make_site(files=FileSettings(max_downloads=1, max_request_bytes=30_000_000))
    owner = await site.login("alice")
    (file,) = await save(site, owner, FormFile(bytes(20_000_000), "large", "application/octet-stream"))
    _, writer = await asyncio.open_connection("127.0.0.1", site.port, limit=1024)
    writer.write(f"GET /files/{file}/download HTTP/1.1\r\nHost: {site.host}\r\n\r\n".encode())
    while not site.context.content.files.under_way:  # noqa: ASYNC110
        await asyncio.sleep(0)
    calls = (await stats(site))[0]
    reply = await site.ask("GET", f"/files/{file}/download")
    assert reply.status == 503
    assert "Retry-After" in reply.headers
    writer.close()
    assert (await stats(site))[0] in (calls, calls + 1)


async def test_bytes_that_are_lost_are_told(site: Site) -> None:
    (file,) = await save(site, await site.login("alice"))
    found = await site.store.find_file(file)
    assert found is not None
    await site.storage.delete(found.id)
    reply = await site.ask("GET", f"/files/{file}/download")
    assert (reply.status, reply.message) == (404, "File not found")
    assert (await stats(site))[0] == 2


def unchunked(body: bytes) -> bytes:
    """The content of a chunked body."""
    content = b""
    while body:
        size, _, rest = body.partition(b"\r\n")
        length = int(size, 16)
        content, body = content + rest[:length], rest[length + 2 :] if length else b""
    return content
