"""Accounts over HTTP: who may, what is answered, and what is masked."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.site import CHIEF, PASSWORD, START_MS, Site, SiteMaker
from users_server.web.settings import Compatibility

NOT_LOGGED_IN = (401, "You must be logged in to make this request")
NOT_ALLOWED = (403, "You don't have permission to make this request")
NEW_USER = {"username": "Dora", "email": "dora@example.com", "password": "secret"}

ROUTES_OF_OTHERS: list[tuple[str, str, Any, dict[str, int]]] = [
    ("GET", "/users", None, {"": 401, "alice": 200, "deputy": 200}),
    ("GET", "/users/bob", None, {"": 401, "alice": 403, "bob": 200, "deputy": 200}),
    ("DELETE", "/users/bob", None, {"": 401, "alice": 403, "bob": 200}),
    ("DELETE", "/users/bob", None, {"deputy": 200}),
    ("POST", "/users", NEW_USER, {"": 401, "alice": 403, "deputy": 200}),
    ("PUT", "/users/carol/approve-activation", None, {"": 401, "alice": 403, "deputy": 200}),
    ("GET", "/sessions", None, {"": 401, "alice": 403, "deputy": 200}),
    ("DELETE", "/sessions/unknown", None, {"": 401, "alice": 403, "deputy": 404}),
    ("GET", "/users/bob/meta", None, {"": 401, "alice": 403, "bob": 200, "deputy": 200}),
    ("GET", "/users/bob/meta/colour", None, {"": 401, "alice": 403, "bob": 200, "deputy": 200}),
    ("POST", "/users/bob/meta", {"value": {}}, {"": 401, "alice": 403, "bob": 403, "deputy": 200}),
    ("POST", "/users/bob/meta/colour", {"value": 1}, {"": 401, "alice": 403, "bob": 403, "deputy": 200}),
    ("POST", "/tokens", None, {"": 401, "alice": 200, "deputy": 200}),
    ("POST", "/events", {"eventType": 1, "username": "x"}, {"": 401, "alice": 403, "chief": 403}),
]


@pytest.fixture
def site(any_site: Site) -> Site:
    """Every test here runs on both stores."""
    return any_site


@pytest.mark.gen_test
@pytest.mark.parametrize(("method", "path", "body", "expected"), ROUTES_OF_OTHERS)
async def test_who_may_call(site: Site, method: str, path: str, body: Any, expected: dict[str, int]) -> None:
    await site.add_inactive("carol")
    found = {}
    for username in expected:
        cookie = await site.login(username) if username else None
        reply = await site.ask(method, path, body, cookie=cookie)
        found[username] = reply.status
        if reply.status == 401:
            assert (reply.status, reply.message) == NOT_LOGGED_IN
            assert reply.headers["WWW-Authenticate"] == "Bearer"
        if reply.status == 403:
            assert (reply.status, reply.message) == NOT_ALLOWED
    assert found == expected


@pytest.mark.gen_test
async def test_listing(site: Site) -> None:
    reply = await site.ask("GET", "/users?index=1&limit=2", cookie=await site.login("deputy"))
    assert (reply.message, reply.json["count"]) == ("Found 4 users", 4)
    assert [(user["username"], user["email"]) for user in reply.json["data"]] == [
        ("deputy", "deputy@example.com"),
        ("alice", "alice@example.com"),
    ]


@pytest.mark.gen_test
async def test_a_listing_shows_ordinary_users_no_email_but_their_own(site: Site) -> None:
    reply = await site.ask("GET", "/users", cookie=await site.login("alice"))
    assert {user["username"]: user["email"] for user in reply.json["data"]} == {
        "chief": "",
        "deputy": "",
        "alice": "alice@example.com",
        "bob": "",
    }


@pytest.mark.gen_test
@pytest.mark.parametrize(("username", "is_unmasked"), [("chief", True), ("deputy", False), ("alice", False)])
async def test_a_verbose_listing_is_for_the_super_admin(site: Site, username: str, is_unmasked: bool) -> None:
    reply = await site.ask("GET", "/users?verbose=true", cookie=await site.login(username))
    assert {user["_id"] != "0" * 24 for user in reply.json["data"]} == {is_unmasked}


@pytest.mark.gen_test
@pytest.mark.parametrize("search", ["ALI", "ali%63e", "alice%40ex"])
async def test_searching_is_literal_and_without_case(site: Site, search: str) -> None:
    reply = await site.ask("GET", f"/users?search={search}", cookie=await site.login("deputy"))
    assert [user["username"] for user in reply.json["data"]] == ["alice"]
    assert reply.message == "Found 1 users"


@pytest.mark.gen_test
@pytest.mark.parametrize("search", [".*", "%25", "a_ice", "%5B", "'"])
async def test_nothing_in_a_search_is_special(site: Site, search: str) -> None:
    reply = await site.ask("GET", f"/users?search={search}", cookie=await site.login("deputy"))
    assert (reply.status, reply.json["data"], reply.json["count"]) == (200, [], 0)


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "query", ["index=-1", "index=x", "index=9999999999999999999", "limit=0", "limit=101", "verbose=maybe"]
)
async def test_a_bad_query_names_its_field(site: Site, query: str) -> None:
    reply = await site.ask("GET", f"/users?{query}", cookie=await site.login("alice"))
    assert reply.status == 422
    assert list(reply.json["errors"]) == [query.partition("=")[0]]


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["bob", "BOB", "bob@example.com", "bob%40example.com"])
async def test_getting_a_user_by_any_name(site: Site, name: str) -> None:
    reply = await site.ask("GET", f"/users/{name}", cookie=await site.login("deputy"))
    assert (reply.status, reply.message) == (200, "Found bob")
    assert reply.json["data"]["username"] == "bob"


@pytest.mark.gen_test
async def test_a_user_may_ask_for_himself_by_email(site: Site) -> None:
    reply = await site.ask("GET", "/users/alice@example.com", cookie=await site.login("alice"))
    assert reply.message == "Found alice"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nobody", 404, "No user exists with the specified details"),
        ("a%20b", 422, "Please only use alpha numeric characters for your username"),
        ("%2525", 422, "Please only use alpha numeric characters for your username"),
        ("b%252Fob", 422, "Please only use alpha numeric characters for your username"),
        ("%FF", 400, "Bad Request"),
    ],
)
async def test_names_that_nobody_has(site: Site, name: str, status: int, message: str) -> None:
    reply = await site.ask("GET", f"/users/{name}", cookie=await site.login("deputy"))
    assert (reply.status, reply.message, reply.json["error"]) == (status, message, True)


@pytest.mark.gen_test
async def test_an_unknown_user_looks_like_a_foreign_one_to_ordinary_users(site: Site) -> None:
    cookie = await site.login("alice")
    unknown, foreign = [await site.ask("GET", f"/users/{name}", cookie=cookie) for name in ("nobody", "bob")]
    assert (unknown.status, unknown.json) == (foreign.status, foreign.json)


@pytest.mark.gen_test
@pytest.mark.parametrize("query", ["", "?verbose=false"])
async def test_entries_are_masked(site: Site, query: str) -> None:
    await site.add_inactive("carol", key="a-key-of-17-chars")
    data = (await site.ask("GET", f"/users/carol{query}", cookie=await site.login("chief"))).json["data"]
    assert data == {
        "_id": "0" * 24,
        "username": "carol",
        "email": "carol@example.com",
        "password": "*" * 59,
        "registerKey": "*" * 16,
        "sessionId": "*" * 10,
        "passwordTag": "*" * 20,
        "createdOn": START_MS,
        "lastLoggedIn": 0,
        "privileges": 3,
        "meta": {},
    }


@pytest.mark.gen_test
@pytest.mark.parametrize("query", ["?verbose=true", "?verbose=1", "?verbose"])
async def test_verbose_unmasks_all_but_the_hash_and_the_cookie(site: Site, query: str) -> None:
    await site.add_inactive("carol")
    cookie = await site.login("deputy")
    data = (await site.ask("GET", f"/users/carol{query}", cookie=cookie)).json["data"]
    assert data["_id"] == b"carol".hex().ljust(24, "0")
    assert data["registerKey"] == "register-key"
    assert data["passwordTag"] == "tag-of-twenty-letters"
    assert data["password"] == "argon2id"
    own = (await site.ask("GET", f"/users/deputy{query}", cookie=cookie)).json["data"]
    assert own["sessionId"] not in ("", cookie, "*" * 10)
    sessions = (await site.ask("GET", "/sessions", cookie=cookie)).json["data"]
    assert own["sessionId"] in [session["sessionId"] for session in sessions]


@pytest.mark.gen_test
async def test_verbose_is_for_oneself_too(site: Site) -> None:
    cookie = await site.login("alice")
    data = (await site.ask("GET", "/users/alice?verbose=true", cookie=cookie)).json["data"]
    me = (await site.ask("GET", "/authenticated?verbose=true", cookie=cookie)).json["user"]
    assert data == me
    assert data["password"] == "argon2id"
    assert data["_id"] != "0" * 24


@pytest.mark.gen_test
async def test_no_answer_holds_a_hash_or_a_cookie(site: Site) -> None:
    cookie = await site.login("chief")
    stored = await site.store.find_user("chief")
    assert stored is not None
    for path in ("/users?verbose=true", "/users/chief?verbose=true", "/authenticated?verbose=true", "/sessions"):
        body = (await site.ask("GET", path, cookie=cookie)).body.decode()
        assert stored.password_hash not in body
        assert "$argon2id$" not in body
        assert cookie not in body
        assert CHIEF.password not in body


@pytest.mark.gen_test
async def test_creating_a_user(site: Site) -> None:
    body = {**NEW_USER, "privileges": 2, "meta": {"colour": "red"}, "unknown": 1}
    reply = await site.ask("POST", "/users", body, cookie=await site.login("deputy"))
    assert (reply.status, reply.message) == (200, "User Dora has been created")
    assert reply.json["data"]["privileges"] == 2
    assert reply.json["data"]["meta"] == {"colour": "red"}
    assert reply.json["data"]["registerKey"] == ""
    assert await site.login("dora", "secret")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("change", "status", "message"),
    [
        ({"privileges": 1, "username": ""}, 403, "You cannot create a user with super admin permissions"),
        ({"username": "", "email": ""}, 422, "Username cannot be empty"),
        ({"username": "a b", "email": ""}, 422, "Username must be alphanumeric"),
        ({"email": "", "password": ""}, 422, "Email cannot be empty"),
        ({"email": "nonsense", "password": ""}, 422, "Email must be valid"),
        ({"password": "", "privileges": 9}, 422, "Password cannot be empty"),
        ({"privileges": 9}, 422, "Privilege type is unrecognised"),
        ({"privileges": 0}, 422, "Privilege type is unrecognised"),
        ({"username": "ALICE"}, 409, "A user with that name or email already exists"),
        ({"email": "Alice@Example.com"}, 409, "A user with that name or email already exists"),
    ],
)
async def test_creating_is_refused(site: Site, change: dict[str, Any], status: int, message: str) -> None:
    reply = await site.ask("POST", "/users", NEW_USER | change, cookie=await site.login("deputy"))
    assert (reply.status, reply.message, reply.json["error"]) == (status, message, True)
    assert await site.store.count_users() == 4


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("change", "field"),
    [({"privileges": "2"}, "privileges"), ({"privileges": 2.5}, "privileges"), ({"meta": []}, "meta")],
)
async def test_creating_with_wrong_types(site: Site, change: dict[str, Any], field: str) -> None:
    reply = await site.ask("POST", "/users", NEW_USER | change, cookie=await site.login("deputy"))
    assert reply.status == 422
    assert list(reply.json["errors"]) == [field]


@pytest.mark.gen_test
async def test_meta_of_a_new_user_is_bounded(site: Site) -> None:
    body = {**NEW_USER, "meta": {"long": "x" * 70_000}}
    assert (await site.ask("POST", "/users", body, cookie=await site.login("deputy"))).status == 413


@pytest.mark.gen_test
async def test_removing_oneself(site: Site) -> None:
    cookie = await site.login("alice")
    reply = await site.ask("DELETE", "/users/alice@example.com", cookie=cookie)
    assert reply.json == {"message": "User alice has been removed", "error": False}
    events = [event for event, _ in site.listener.events]
    assert events == ["Login", "Logout", "BucketRemoved", "Removed"]
    assert site.listener.events[1] == ("Logout", {"username": "alice"})
    assert site.listener.events[3] == ("Removed", {"username": "alice"})
    assert (await site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"] is False


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("name", "status", "message"),
    [
        ("nobody", 404, "Could not find any users with those credentials"),
        ("chief", 403, "You cannot remove a super user"),
    ],
)
async def test_removing_is_refused(site: Site, name: str, status: int, message: str) -> None:
    reply = await site.ask("DELETE", f"/users/{name}", cookie=await site.login("chief"))
    assert (reply.status, reply.message) == (status, message)


@pytest.mark.gen_test
async def test_approving_an_activation(site: Site) -> None:
    await site.add_inactive("carol")
    cookie = await site.login("deputy")
    path = "/users/carol/approve-activation"
    reply = await site.ask("PUT", path, cookie=cookie)
    assert (reply.status, reply.message) == (200, "Activation code has been approved")
    assert site.listener.events[-1] == ("Activated", {"username": "carol"})
    assert await site.login("carol")
    again = await site.ask("PUT", path, cookie=cookie)
    assert (again.status, again.message) == (409, "Account has already been activated")
    unknown = await site.ask("PUT", "/users/nobody/approve-activation", cookie=cookie)
    assert (unknown.status, unknown.message) == (404, "No user exists with the specified details")


@pytest.mark.gen_test
async def test_a_user_who_has_the_name_of_a_route(site: Site) -> None:
    cookie = await site.login("chief")
    body = {"username": "login", "email": "login@example.com", "password": "secret"}
    assert (await site.ask("POST", "/users", body, cookie=cookie)).status == 200
    assert (await site.ask("GET", "/users/login", cookie=cookie)).message == "Found login"
    assert (await site.ask("DELETE", "/users/login", cookie=cookie)).message == "User login has been removed"


@pytest.mark.gen_test
async def test_webinate_lists_users_with_emails_for_everyone(make_any_site: SiteMaker) -> None:
    site = await make_any_site(compatibility=Compatibility.WEBINATE)
    reply = await site.ask("GET", "/users")
    assert [user["email"] for user in reply.json["data"]] == [
        "chief@example.com",
        "deputy@example.com",
        "alice@example.com",
        "bob@example.com",
    ]
    assert {user["_id"] for user in reply.json["data"]} == {"0" * 24}
    verbose = await site.ask("GET", "/users?verbose=true")
    assert {user["password"] for user in verbose.json["data"]} == {"*" * 59}


@pytest.mark.gen_test
async def test_webinate_answers_refusals_with_200(make_any_site: SiteMaker) -> None:
    site = await make_any_site(compatibility=Compatibility.WEBINATE)
    asked = [
        await site.ask("GET", "/users/bob"),
        await site.ask("POST", "/users/login", {"username": "alice", "password": "wrong"}),
        await site.ask("POST", "/users/login", {"username": 7, "password": "wrong"}),
        await site.ask("POST", "/users/login", raw=b"{"),
        await site.ask("GET", "/nowhere"),
        await site.ask("PATCH", "/users"),
        await site.ask("GET", "/users/%FF"),
    ]
    assert [(reply.status, reply.json["error"]) for reply in asked] == [(200, True)] * len(asked)
    assert asked[1].json["authenticated"] is False


@pytest.mark.gen_test
@pytest.mark.parametrize("content_type", ["application/json; charset=UTF-8", "Application/JSON", None])
async def test_webinate_takes_bodies_without_a_content_type(make_any_site: SiteMaker, content_type: str | None) -> None:
    site = await make_any_site(compatibility=Compatibility.WEBINATE)
    text = f'{{"username": "alice", "password": "{PASSWORD}"}}'.encode()
    lines = [f"Content-Type: {content_type}"] if content_type else []
    reply = await site.send("POST /users/login HTTP/1.1", f"Content-Length: {len(text)}", *lines, body=text)
    assert reply.json["authenticated"] is True


@pytest.mark.gen_test
@pytest.mark.parametrize(("username", "count"), [("deputy", 1), ("bob", 0)])
async def test_only_who_may_see_emails_finds_by_them(site: Site, username: str, count: int) -> None:
    reply = await site.ask("GET", "/users?search=alice%40ex", cookie=await site.login(username))
    assert (reply.status, reply.json["count"]) == (200, count)
