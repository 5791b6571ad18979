"""Who am I, log in and log out, and the cookie."""

from __future__ import annotations

import pytest

from tests.web.site import PASSWORD, START_MS, Site, SiteMaker
from users_server.services.settings import LoginLimits, SessionSettings


@pytest.fixture
def site(any_site: Site) -> Site:
    """Every test here runs on both stores."""
    return any_site


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/authenticated", "/who-am-i"])
async def test_nobody_is_not_authenticated(site: Site, path: str) -> None:
    reply = await site.ask("GET", path)
    assert reply.status == 200
    assert reply.json == {
        "message": "User is not authenticated",
        "error": False,
        "authenticated": False,
        "user": None,
    }


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/authenticated", "/who-am-i"])
async def test_a_session_is_authenticated(site: Site, path: str) -> None:
    reply = await site.ask("GET", path, cookie=await site.login("alice"))
    assert reply.json["message"] == "User is authenticated"
    assert reply.json["authenticated"] is True
    assert reply.json["user"]["username"] == "alice"


@pytest.mark.gen_test
async def test_login_answers_the_masked_user(site: Site) -> None:
    reply = await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD})
    assert reply.status == 200
    assert reply.json["user"] == {
        "_id": "0" * 24,
        "username": "alice",
        "email": "alice@example.com",
        "password": "*" * 59,
        "registerKey": "",
        "sessionId": "*" * 10,
        "passwordTag": "",
        "createdOn": START_MS + 2,
        "lastLoggedIn": site.clock.now_ms(),
        "privileges": 3,
        "meta": {},
    }
    assert reply.message == "User is authenticated"
    assert reply.json["authenticated"] is True


@pytest.mark.gen_test
async def test_login_by_email_without_case_announces_the_username(site: Site) -> None:
    await site.login("ALICE@example.com")
    assert site.listener.events == [("Login", {"username": "alice"})]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        ({"username": "alice", "password": "wrong"}, 401, "The username or password is incorrect."),
        ({"username": "nobody", "password": "wrong"}, 401, "The username or password is incorrect."),
        ({"username": "alice", "password": ""}, 422, "Please enter a valid password"),
        ({"username": "alice"}, 422, "Please enter a valid password"),
        ({"username": "", "password": "x"}, 422, "Please enter a valid username"),
        ({}, 422, "Please enter a valid username"),
        (None, 422, "Please enter a valid username"),
        (
            {"username": "<script>", "password": "x"},
            422,
            "Please only use alpha numeric characters for your username",
        ),
    ],
)
async def test_login_refused(site: Site, body: object, status: int, message: str) -> None:
    reply = await site.ask("POST", "/users/login", body)
    assert (reply.status, reply.message) == (status, message)
    assert reply.json["error"] is True
    assert reply.json["authenticated"] is False
    assert reply.cookie is None
    assert site.listener.events == []


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("body", "field"),
    [
        ({"username": 7, "password": "x"}, "username"),
        ({"username": "alice", "password": None}, "password"),
        ({"username": "alice", "password": "x", "rememberMe": "yes"}, "rememberMe"),
    ],
)
async def test_login_with_wrong_types_names_the_field(site: Site, body: object, field: str) -> None:
    reply = await site.ask("POST", "/users/login", body)
    assert reply.status == 422
    assert list(reply.json["errors"]) == [field]
    assert reply.json["authenticated"] is False


@pytest.mark.gen_test
async def test_an_account_that_is_not_activated_cannot_log_in(site: Site) -> None:
    await site.add_inactive("carol")
    reply = await site.ask("POST", "/users/login", {"username": "carol", "password": PASSWORD})
    assert reply.status == 403
    assert reply.message == "Please authorise your account by clicking on the link that was sent to your email"
    assert reply.json["authenticated"] is False


@pytest.mark.gen_test
async def test_too_many_failures_are_answered_with_429(make_any_site: SiteMaker) -> None:
    site = await make_any_site(login_limits=LoginLimits(failures_per_account=2, window_seconds=90))
    wrong = {"username": "alice", "password": "wrong"}
    assert [(await site.ask("POST", "/users/login", wrong)).status for _ in range(3)] == [401, 401, 429]
    reply = await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD})
    assert reply.status == 429
    assert reply.headers["Retry-After"] == "90"
    assert reply.json["authenticated"] is False
    site.clock.advance(91)
    assert (await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD})).status == 200


@pytest.mark.gen_test
async def test_the_cookie_is_locked_down(site: Site) -> None:
    reply = await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD})
    cookie = reply.cookie
    assert cookie is not None
    assert cookie["httponly"] is True
    assert cookie["samesite"] == "Lax"
    assert cookie["path"] == "/"
    assert cookie["max-age"] == "1800"
    assert cookie["domain"] == ""
    assert cookie["secure"] == ""
    assert len(cookie.value) >= 22


@pytest.mark.gen_test
async def test_the_cookie_follows_the_settings(make_any_site: SiteMaker) -> None:
    site = await make_any_site(session=SessionSettings(60, path="/api", domain="example.com"), is_tls=True)
    cookie = (await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD})).cookie
    assert cookie is not None
    assert cookie["secure"] is True
    assert (cookie["path"], cookie["domain"], cookie["max-age"]) == ("/api", "example.com", "60")


@pytest.mark.gen_test
@pytest.mark.parametrize(("is_persistent", "remember_me"), [(True, False), (False, True), (False, False)])
async def test_a_cookie_that_ends_with_the_browser(
    make_any_site: SiteMaker, is_persistent: bool, remember_me: bool
) -> None:
    site = await make_any_site(session=SessionSettings(persistent=is_persistent))
    body = {"username": "alice", "password": PASSWORD, "rememberMe": remember_me}
    reply = await site.ask("POST", "/users/login", body)
    assert reply.cookie is not None
    assert reply.cookie["max-age"] == ""
    assert reply.cookie["expires"] == ""
    again = await site.ask("GET", "/authenticated", cookie=reply.cookie.value)
    assert again.json["authenticated"] is True
    assert again.cookie is None


@pytest.mark.gen_test
async def test_using_a_persistent_session_keeps_its_cookie_alive(site: Site) -> None:
    cookie = await site.login("alice")
    for _ in range(3):
        site.clock.advance(1200)
        reply = await site.ask("GET", "/authenticated", cookie=cookie)
        assert reply.json["authenticated"] is True
        assert reply.cookie is not None
        assert (reply.cookie.value, reply.cookie["max-age"]) == (cookie, "1800")
    site.clock.advance(1801)
    reply = await site.ask("GET", "/authenticated", cookie=cookie)
    assert reply.json["authenticated"] is False
    assert reply.cookie is None


@pytest.mark.gen_test
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_logout_ends_the_session(site: Site, method: str) -> None:
    cookie = await site.login("alice")
    reply = await site.ask(method, "/logout", cookie=cookie)
    assert reply.status == 200
    assert reply.json == {"message": "Successfully logged out", "error": False}
    assert reply.cookie is not None
    assert reply.cookie.value == ""
    assert "1970" in reply.cookie["expires"]
    assert site.listener.events == [("Login", {"username": "alice"}), ("Logout", {"username": "alice"})]
    assert (await site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"] is False


@pytest.mark.gen_test
@pytest.mark.parametrize("cookie", [None, "", "unknown", "x" * 5000])
async def test_logout_without_a_session_is_no_error(site: Site, cookie: str | None) -> None:
    reply = await site.ask("POST", "/logout", cookie=cookie)
    assert (reply.status, reply.message) == (200, "Successfully logged out")
    assert site.listener.events == []


@pytest.mark.gen_test
async def test_a_head_request_does_not_log_out(site: Site) -> None:
    cookie = await site.login("alice")
    assert (await site.ask("HEAD", "/logout", cookie=cookie)).status == 405
    assert (await site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"] is True


@pytest.mark.gen_test
async def test_logging_out_with_a_token_of_the_session_ends_it(site: Site) -> None:
    cookie = await site.login("alice")
    token = (await site.ask("POST", "/tokens", cookie=cookie)).json["token"]
    assert (await site.ask("POST", "/logout", token=token)).status == 200
    assert (await site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"] is False
    reply = await site.ask("GET", "/authenticated", token=token)
    assert (reply.status, reply.message) == (401, "The session has ended")
