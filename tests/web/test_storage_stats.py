"""The stats of accounts over HTTP: the rows of users-http-api.md, on both stores."""

from __future__ import annotations

import pytest

from tests.web.forms import FormFile, save
from tests.web.site import PASSWORD, START_MS, Site
from users_server.core.accounts import User

pytestmark = pytest.mark.gen_test(timeout=30)


@pytest.mark.parametrize("user", ["alice", "deputy"])
async def test_stats_of_an_account(any_site: Site, user: str) -> None:
    await save(any_site, await any_site.login("alice"), FormFile(b"x" * 1000))
    reply = await any_site.ask("GET", "/users/alice@example.com/get-stats", cookie=await any_site.login(user))
    assert reply.status == 200
    assert reply.message == "Successfully retrieved alice's stats"
    data = reply.json["data"]
    assert len(data.pop("_id")) == 24
    assert data == {
        "user": "alice",
        "apiCallsAllocated": 20_000,
        "memoryAllocated": 500_000_000,
        "apiCallsUsed": 2,
        "memoryUsed": 1000,
    }


@pytest.mark.parametrize(
    ("user", "name", "status", "message"),
    [
        (None, "alice", 401, "You must be logged in to make this request"),
        ("bob", "alice", 403, "You don't have permission to make this request"),
        ("bob", "nobody", 403, "You don't have permission to make this request"),
        ("chief", "nobody", 404, "Could not find the user 'nobody'"),
        ("chief", "no.body", 422, "Please only use alpha numeric characters for your username"),
    ],
)
async def test_refusals_of_reading(any_site: Site, user: str | None, name: str, status: int, message: str) -> None:
    cookie = await any_site.login(user) if user else None
    reply = await any_site.ask("GET", f"/users/{name}/get-stats", cookie=cookie)
    assert (reply.status, reply.message) == (status, message)


@pytest.mark.parametrize(
    ("path", "field", "message"),
    [
        ("storage-calls", "apiCallsUsed", "Updated the user API calls to [77]"),
        ("storage-allocated-calls", "apiCallsAllocated", "Updated the user API calls to [77]"),
        ("storage-memory", "memoryUsed", "Updated the user memory to [77] bytes"),
        ("storage-allocated-memory", "memoryAllocated", "Updated the user memory to [77] bytes"),
    ],
)
async def test_admins_set_the_numbers(any_site: Site, path: str, field: str, message: str) -> None:
    cookie = await any_site.login("deputy")
    before = (await any_site.ask("GET", "/users/alice/get-stats", cookie=cookie)).json["data"]
    reply = await any_site.ask("PUT", f"/stats/{path}/alice/77", cookie=cookie)
    assert reply.json == {"message": message, "error": False}
    after = (await any_site.ask("GET", "/users/alice/get-stats", cookie=cookie)).json["data"]
    assert after == {**before, field: 77}


@pytest.mark.parametrize(
    ("user", "name", "value", "status", "message"),
    [
        (None, "alice", "1", 401, "You must be logged in to make this request"),
        ("alice", "alice", "1", 403, "You don't have permission to make this request"),
        ("deputy", "chief", "1", 403, "You don't have permission to make this request"),
        ("deputy", "alice", "one", 422, "Please specify a valid value"),
        ("deputy", "alice", "-1", 422, "Please specify a valid value"),
        ("deputy", "alice", "1.5", 422, "Please specify a valid value"),
        ("deputy", "alice", "9" * 40, 422, "Please specify a valid value"),
        ("deputy", "alice", "%D9%A1", 422, "Please specify a valid value"),
        ("deputy", "nobody", "1", 404, "Could not find the user 'nobody'"),
    ],
)
@pytest.mark.parametrize("path", ["storage-calls", "storage-allocated-memory"])
async def test_refusals_of_setting(
    any_site: Site, path: str, user: str | None, name: str, value: str, status: int, message: str
) -> None:
    cookie = await any_site.login(user) if user else None
    reply = await any_site.ask("PUT", f"/stats/{path}/{name}/{value}", cookie=cookie)
    assert (reply.status, reply.message) == (status, message)


async def test_stats_are_created_for_an_account_of_older_times(any_site: Site) -> None:
    await any_site.store.create_user(User("a" * 24, "Old", "old@example.com", "a hash", 3, START_MS))
    cookie = await any_site.login("deputy")
    reply = await any_site.ask("POST", "/create-stats/old", cookie=cookie)
    assert reply.json == {"message": "Stats for the user 'Old' have been created", "error": False}
    assert (await any_site.store.get_stats("a" * 24)) is not None
    await any_site.ask("PUT", "/stats/storage-calls/old/9", cookie=cookie)
    assert (await any_site.ask("POST", "/create-stats/old", cookie=cookie)).status == 200
    data = (await any_site.ask("GET", "/users/old/get-stats", cookie=cookie)).json["data"]
    assert data["apiCallsUsed"] == 9, "what is there stays"


@pytest.mark.parametrize(
    ("user", "name", "status"), [(None, "alice", 401), ("alice", "alice", 403), ("deputy", "nobody", 404)]
)
async def test_refusals_of_creation(any_site: Site, user: str | None, name: str, status: int) -> None:
    cookie = await any_site.login(user) if user else None
    assert (await any_site.ask("POST", f"/create-stats/{name}", cookie=cookie)).status == status


async def test_an_account_of_older_times_can_use_the_storage(any_site: Site) -> None:
    password_hash = await any_site.passwords.hash(PASSWORD)
    await any_site.store.create_user(User("b" * 24, "Older", "older@example.com", password_hash, 3, START_MS))
    cookie = await any_site.login("Older")
    assert (await any_site.ask("POST", "/users/older/buckets/first", cookie=cookie)).status == 200
    await save(any_site, cookie, bucket="first")
    data = (await any_site.ask("GET", "/users/older/get-stats", cookie=cookie)).json["data"]
    assert (data["apiCallsUsed"], data["memoryUsed"]) == (2, 10)
