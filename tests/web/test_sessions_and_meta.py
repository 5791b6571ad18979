"""The logins that are alive, and meta data."""

from __future__ import annotations

from typing import Any

import pytest

from tests.web.site import Site


@pytest.fixture
def site(any_site: Site) -> Site:
    """Every test here runs on both stores."""
    return any_site


@pytest.mark.gen_test
async def test_listing_sessions(site: Site) -> None:
    await site.login("alice", rememberMe=False)
    now_ms = site.clock.now_ms()
    reply = await site.ask("GET", "/sessions", cookie=await site.login("deputy"))
    assert (reply.message, reply.json["count"]) == ("Found 2 active sessions", 2)
    first = reply.json["data"][0]
    assert len(first.pop("sessionId")) == 24
    assert "Tornado" in first.pop("userAgent")
    assert first == {
        "username": "alice",
        "createdOn": now_ms,
        "expiration": now_ms + 1_800_000,
        "persistent": False,
        "address": "127.0.0.1",
    }
    page = await site.ask("GET", "/sessions?index=1&limit=1", cookie=await site.login("deputy"))
    assert [session["username"] for session in page.json["data"]] == ["deputy"]
    assert page.json["count"] == 3


@pytest.mark.gen_test
async def test_removing_a_session_logs_its_user_out(site: Site) -> None:
    alice, deputy = await site.login("alice"), await site.login("deputy")
    sessions = (await site.ask("GET", "/sessions", cookie=deputy)).json["data"]
    session_id = next(session["sessionId"] for session in sessions if session["username"] == "alice")
    reply = await site.ask("DELETE", f"/sessions/{session_id}", cookie=deputy)
    assert reply.json == {"message": f"Session {session_id} has been removed", "error": False}
    assert site.listener.events[-1] == ("Logout", {"username": "alice"})
    assert (await site.ask("GET", "/authenticated", cookie=alice)).json["authenticated"] is False
    again = await site.ask("DELETE", f"/sessions/{session_id}", cookie=deputy)
    assert (again.status, again.message) == (404, f"Session '{session_id}' does not exist")


@pytest.mark.gen_test
async def test_meta_is_answered_bare(site: Site) -> None:
    deputy = await site.login("deputy")
    value = {"colour": "red", "nested": {"list": [1, None, True]}}
    reply = await site.ask("POST", "/users/bob/meta", {"value": value}, cookie=deputy)
    assert reply.json == {"message": "User's data has been updated", "error": False}
    bob = await site.login("bob")
    assert (await site.ask("GET", "/users/bob/meta", cookie=bob)).json == value
    assert (await site.ask("GET", "/users/bob/meta/colour", cookie=bob)).json == "red"
    assert (await site.ask("GET", "/users/bob/meta/nested", cookie=bob)).json == {"list": [1, None, True]}
    assert (await site.ask("GET", "/users/bob/meta/absent", cookie=bob)).body == b"null"


@pytest.mark.gen_test
@pytest.mark.parametrize("body", [None, {}, {"value": None}])
async def test_no_value_clears_the_meta(site: Site, body: Any) -> None:
    deputy = await site.login("deputy")
    await site.ask("POST", "/users/bob/meta", {"value": {"a": 1}}, cookie=deputy)
    assert (await site.ask("POST", "/users/bob/meta", body, cookie=deputy)).status == 200
    assert (await site.ask("GET", "/users/bob/meta", cookie=deputy)).body == b"{}"


@pytest.mark.gen_test
@pytest.mark.parametrize("name", ["colour", "$where", "a.b", "__proto__", "%20", "%C3%BC", "%2F", "%252F"])
@pytest.mark.parametrize("value", [None, 0, "text", [1], {"a": {}}])
async def test_one_value_of_any_kind_and_name(site: Site, name: str, value: Any) -> None:
    deputy = await site.login("deputy")
    decoded = {"%20": " ", "%C3%BC": "ü", "%2F": "/", "%252F": "%2F"}.get(name, name)
    await site.ask("POST", "/users/bob/meta", {"value": {"other": 1}}, cookie=deputy)
    reply = await site.ask("POST", f"/users/bob/meta/{name}", {"value": value}, cookie=deputy)
    assert reply.json == {"message": f"Value '{decoded}' has been updated", "error": False}
    assert (await site.ask("GET", f"/users/bob/meta/{name}", cookie=deputy)).json == value
    assert (await site.ask("GET", "/users/bob/meta", cookie=deputy)).json == {"other": 1, decoded: value}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/users/bob/meta", {"value": []}, "value"),
        ("/users/bob/meta", {"value": "text"}, "value"),
        ("/users/bob/meta/colour", {}, "value"),
        ("/users/bob/meta/colour", None, "value"),
    ],
)
async def test_meta_of_the_wrong_kind(site: Site, path: str, body: Any, field: str) -> None:
    reply = await site.ask("POST", path, body, cookie=await site.login("deputy"))
    assert reply.status == 422
    assert list(reply.json["errors"]) == [field]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("levels", "status"), [(50, 200), (63, 200), (64, 400), (300, 400), (1000, 400), (100_000, 400)]
)
async def test_meta_that_is_nested_too_deeply(site: Site, levels: int, status: int) -> None:
    deputy = await site.login("deputy")
    text = b'{"value":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}"
    reply = await site.ask(
        "POST", "/users/bob/meta", raw=text, headers={"Content-Type": "application/json"}, cookie=deputy
    )
    assert reply.status == status, reply
    assert (await site.ask("GET", "/users/bob/meta", cookie=deputy)).status == 200


@pytest.mark.gen_test
async def test_meta_is_bounded(site: Site) -> None:
    deputy = await site.login("deputy")
    reply = await site.ask("POST", "/users/bob/meta/a", {"value": "x" * 70_000}, cookie=deputy)
    assert reply.status == 413
    assert (await site.ask("GET", "/users/bob/meta", cookie=deputy)).json == {}


@pytest.mark.gen_test
async def test_meta_of_unknown_users(site: Site) -> None:
    reply = await site.ask("GET", "/users/nobody/meta", cookie=await site.login("deputy"))
    assert (reply.status, reply.message) == (404, "No user exists with the specified details")
    reply = await site.ask("GET", "/users/nobody/meta", cookie=await site.login("alice"))
    assert reply.status == 403
