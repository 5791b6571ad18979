"""Buckets over HTTP: the rows of users-http-api.md, on both stores."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from tests.web.forms import FormFile, listed, save, stats
from tests.web.site import Site, SiteMaker
from users_server.protocols.users.schemas import BucketRemovedOutput, BucketUploadedOutput, FilesRemovedOutput
from users_server.services.content_settings import FileSettings
from users_server.web.settings import Compatibility

pytestmark = pytest.mark.gen_test(timeout=30)


async def buckets(site: Site, cookie: str, user: str = "alice", query: str = "") -> list[dict[str, Any]]:
    reply = await site.ask("GET", f"/users/{user}/buckets{query}", cookie=cookie)
    assert reply.status == 200, reply
    assert reply.message == f"Found [{reply.json['count']}] buckets"
    data: list[dict[str, Any]] = reply.json["data"]
    return data


async def test_a_new_account_has_a_bucket_and_one_call(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    (bucket,) = await buckets(any_site, cookie)
    assert bucket["name"] == "alice-bucket"
    assert bucket["user"] == "alice"
    assert bucket["memoryUsed"] == 0
    assert await stats(any_site) == (1, 0)
    admin = await any_site.login("chief")
    body = {"username": "Carol", "email": "carol@example.com", "password": "a password"}
    any_site.listener.events.clear()
    assert (await any_site.ask("POST", "/users", body, cookie=admin)).status == 200
    ((event, data),) = any_site.listener.events
    assert event == "BucketUploaded"
    assert data["username"] == "Carol"
    assert data["bucket"]["name"] == "Carol-bucket"
    assert not BucketUploadedOutput().validate(data)


async def test_a_bucket_is_created(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    any_site.listener.events.clear()
    reply = await any_site.ask("POST", "/users/alice/buckets/my%20photos_1-2", cookie=cookie)
    assert reply.json == {"message": "Bucket 'my photos_1-2' created", "error": False}
    ((event, data),) = any_site.listener.events
    assert event == "BucketUploaded"
    names = [bucket["name"] for bucket in await buckets(any_site, cookie)]
    assert names == ["alice-bucket", "my photos_1-2"]
    assert data["bucket"] == (await buckets(any_site, cookie))[1]
    assert await stats(any_site) == (2, 0)


async def test_an_admin_creates_it_for_its_user(any_site: Site) -> None:
    cookie = await any_site.login("deputy")
    assert (await any_site.ask("POST", "/users/alice@example.com/buckets/gift", cookie=cookie)).status == 200
    assert (await buckets(any_site, cookie))[1]["user"] == "alice"
    assert await stats(any_site) == (2, 0)


@pytest.mark.parametrize(
    ("user", "path", "status", "message"),
    [
        (None, "/users/alice/buckets/x", 401, "You must be logged in to make this request"),
        ("bob", "/users/alice/buckets/x", 403, "You don't have permission to make this request"),
        ("bob", "/users/nobody/buckets/x", 403, "You don't have permission to make this request"),
        ("deputy", "/users/chief/buckets/x", 403, "You don't have permission to make this request"),
        ("deputy", "/users/nobody/buckets/x", 404, "Could not find a user with the name 'nobody'"),
        ("alice", "/users/alice/buckets/a.b", 422, "Please only use safe characters"),
        ("alice", "/users/alice/buckets/a%2Fb", 422, "Please only use safe characters"),
        ("alice", "/users/alice/buckets/%C3%9F", 422, "Please only use safe characters"),
        ("alice", f"/users/alice/buckets/{'x' * 300}", 422, "Please only use safe characters"),
        (
            "alice",
            "/users/alice/buckets/alice-bucket",
            409,
            "Error: A Bucket with the name 'alice-bucket' has already been registered",
        ),
    ],
)
async def test_refusals_of_creation(any_site: Site, user: str | None, path: str, status: int, message: str) -> None:
    cookie = await any_site.login(user) if user else None
    any_site.listener.events.clear()
    reply = await any_site.ask("POST", path, cookie=cookie)
    assert (reply.status, reply.message) == (status, message)
    assert reply.json["error"] is True
    assert any_site.listener.events == []
    assert await stats(any_site) == (1, 0)


async def test_of_many_that_ask_for_one_name_one_gets_it(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    replies = await asyncio.gather(
        *(any_site.ask("POST", "/users/alice/buckets/same", cookie=cookie) for _ in range(8))
    )
    assert sorted(reply.status for reply in replies) == [200] + [409] * 7
    assert await stats(any_site) == (2, 0)


async def test_search_is_literal_and_without_case(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    for name in ("Holiday", "a_b", "x y"):
        await any_site.ask("POST", f"/users/alice/buckets/{name.replace(' ', '%20')}", cookie=cookie)
    for search, count in {"HOLI": 1, "_": 1, ".*": 0, "%25": 0, "": 4}.items():
        assert len(await buckets(any_site, cookie, query=f"?search={search}")) == count


@pytest.mark.parametrize(("user", "status"), [(None, 401), ("bob", 403), ("alice", 200), ("deputy", 200)])
async def test_who_sees_the_list(any_site: Site, user: str | None, status: int) -> None:
    cookie = await any_site.login(user) if user else None
    assert (await any_site.ask("GET", "/users/alice/buckets", cookie=cookie)).status == status


async def test_buckets_are_removed_with_their_files(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    await any_site.ask("POST", "/users/alice/buckets/second", cookie=cookie)
    await any_site.ask("POST", "/users/alice/buckets/third", cookie=cookie)
    first, second = await save(any_site, cookie, FormFile(b"123"), FormFile(b"4567"), bucket="second")
    kept = await save(any_site, cookie, FormFile(b"89"), bucket="third")
    assert await stats(any_site) == (6, 9)
    identifiers = {bucket["name"]: bucket["identifier"] for bucket in await buckets(any_site, cookie)}
    any_site.listener.events.clear()
    reply = await any_site.ask("DELETE", "/buckets/second,unknown,second,alice-bucket", cookie=cookie)
    assert reply.json == {
        "message": "Removed [2] buckets",
        "error": False,
        "data": [identifiers["second"], identifiers["alice-bucket"]],
    }
    assert [event for event, _ in any_site.listener.events] == ["FilesRemoved", "BucketRemoved", "BucketRemoved"]
    files, bucket = any_site.listener.events[0][1], any_site.listener.events[1][1]
    assert {entry["identifier"] for entry in files["files"]} == {first, second}
    assert bucket["bucket"]["name"] == "second"
    assert not FilesRemovedOutput().validate(files)
    assert not BucketRemovedOutput().validate(bucket)
    assert await stats(any_site) == (10, 2)
    assert [found["name"] for found in await buckets(any_site, cookie)] == ["third"]
    assert [entry["identifier"] for entry in await listed(any_site, cookie, "third")] == kept
    assert (await any_site.ask("GET", f"/files/{first}/download", cookie=cookie)).status == 404


async def test_other_peoples_buckets_stay(any_site: Site) -> None:
    admin = await any_site.login("chief")
    reply = await any_site.ask("DELETE", "/buckets/alice-bucket", cookie=admin)
    assert (reply.message, reply.json["data"]) == ("Removed [0] buckets", [])
    assert (await any_site.ask("DELETE", "/buckets/alice-bucket")).status == 401
    assert len(await buckets(any_site, admin)) == 1


async def test_no_bucket_without_a_call(make_any_site: SiteMaker) -> None:
    site = await make_any_site(files=FileSettings(calls_allocated=2))
    cookie = await site.login("alice")
    assert (await site.ask("POST", "/users/alice/buckets/second", cookie=cookie)).status == 200
    reply = await site.ask("POST", "/users/alice/buckets/third", cookie=cookie)
    assert reply.status == 429
    assert reply.message == "You have reached your API call limit. Please upgrade your plan for more API calls"
    assert await stats(site) == (2, 0)
    assert (await site.ask("DELETE", "/buckets/second", cookie=cookie)).message == "Removed [1] buckets"


async def test_they_go_with_their_user(any_site: Site) -> None:
    cookie = await any_site.login("alice")
    (file,) = await save(any_site, cookie)
    user = await any_site.store.find_user("alice")
    assert user is not None
    any_site.listener.events.clear()
    assert (await any_site.ask("DELETE", "/users/alice", cookie=await any_site.login("chief"))).status == 200
    names = [event for event, _ in any_site.listener.events]
    assert names == ["Login", "Logout", "FilesRemoved", "BucketRemoved", "Removed"]
    assert await any_site.store.get_stats(user.id) is None
    assert (await any_site.store.list_buckets(user.id)).count == 0
    assert await any_site.store.find_file(file) is None


async def test_webinate_answers_refusals_with_200(make_any_site: SiteMaker) -> None:
    site = await make_any_site(compatibility=Compatibility.WEBINATE)
    reply = await site.ask("POST", "/users/alice/buckets/a.b", cookie=await site.login("alice"))
    assert reply.status == 200
    assert reply.json == {"message": "Please only use safe characters", "error": True}
