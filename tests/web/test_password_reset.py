"""New passwords over HTTP: by a key that was mailed, and by the old password; on both stores."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.site import CHIEF, PASSWORD, Site, SiteMaker
from users_server.services.account_settings import AccountKeySettings
from users_server.web.settings import Compatibility

pytestmark = pytest.mark.gen_test(timeout=30)

REQUESTED = "Instructions have been sent to your email on how to change your password"
NO_MATCH = "Password codes do not match. Please try resetting your password again"
PAGE = "https://www.example.com/reset"


async def key_of(site: Site, username: str = "alice") -> str:
    """Of the mail that the request for a new password causes."""
    assert (await site.ask("POST", f"/users/{username}/request-password-reset")).message == REQUESTED
    return key_in((await site.mail()).link)


def key_in(link: str) -> str:
    return parse_qs(urlsplit(link).query)["key"][0]


async def reset(site: Site, key: str, /, **fields: Any) -> Any:
    return await site.ask("PUT", "/password-reset", {"user": "alice", "key": key, "password": "a new one"} | fields)


@pytest.fixture
def reset_site(io_loop: Any, make_any_site: SiteMaker) -> Site:
    async def make() -> Site:
        return await make_any_site(password_reset_url=PAGE)

    site: Site = io_loop.run_sync(make)
    return site


async def test_a_forgotten_password_is_replaced_and_every_login_ends(reset_site: Site) -> None:
    site = reset_site
    cookies = [await site.login("alice") for _ in range(2)]
    bobs = await site.login("bob")
    site.listener.events.clear()
    assert (await site.ask("GET", "/users/ALICE@example.com/request-password-reset")).message == REQUESTED
    mail = await site.mail()
    assert mail.recipients == ["alice@example.com"]
    assert mail.link.startswith(f"{PAGE}?user=alice&key=")
    assert site.listener.events == []
    assert (await site.ask("GET", "/authenticated", cookie=cookies[0])).json["authenticated"] is True
    reply = await reset(site, key_in(mail.link))
    assert (reply.status, reply.message) == (200, "Your password has been reset")
    for cookie in cookies:
        assert (await site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"] is False
    assert (await site.ask("GET", "/authenticated", cookie=bobs)).json["authenticated"] is True
    assert site.listener.events == [("Logout", {"username": "alice"})] * 2
    assert (await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD})).status == 401
    await site.login("alice", "a new one")
    assert (await site.mail()).subject == "Your password at users-server was changed"


async def test_without_a_page_the_mail_has_the_key_itself(any_site: Site) -> None:
    await any_site.ask("POST", "/users/alice/request-password-reset")
    text = (await any_site.mail()).part("plain")
    assert "http" not in text
    key = next(line for line in text.split() if len(line) == 43)
    assert (await reset(any_site, key)).status == 200


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({"user": ""}, 422, "Please enter a valid username"),
        ({"user": "no body"}, 422, "Please only use alpha numeric characters for your username"),
        ({"user": "nobody", "key": "x", "password": ""}, 404, "No user exists with those credentials"),
        ({"key": "x", "password": ""}, 422, NO_MATCH),
        ({"key": ""}, 422, NO_MATCH),
        ({"key": "x" * 500}, 422, NO_MATCH),
        ({"user": "bob"}, 422, NO_MATCH),
        ({"password": ""}, 422, "Please enter a valid password"),
        ({"password": "x" * 2000}, 422, "Password cannot be longer than 1024 bytes"),
    ],
)
async def test_refusals_leave_the_key_and_the_password(
    reset_site: Site, fields: dict[str, Any], status: int, message: str
) -> None:
    key = await key_of(reset_site)
    cookie = await reset_site.login("alice")
    reply = await reset(reset_site, key, **fields)
    assert (reply.status, reply.message) == (status, message)
    assert (await reset_site.ask("GET", "/authenticated", cookie=cookie)).json["authenticated"] is True
    assert (await reset(reset_site, key)).status == 200


async def test_a_key_works_once_and_for_one_of_many(reset_site: Site) -> None:
    key = await key_of(reset_site)
    replies = await asyncio.gather(*(reset(reset_site, key, password=f"password {number}") for number in range(10)))
    statuses = [reply.status for reply in replies]
    assert sorted(statuses) == [200] + [422] * 9
    await reset_site.login("alice", f"password {statuses.index(200)}")
    assert (await reset(reset_site, key)).message == NO_MATCH


async def test_a_key_ends_in_time_and_with_the_next_one(make_any_site: SiteMaker) -> None:
    keys = AccountKeySettings(password_reset_seconds=60)
    site = await make_any_site(password_reset_url=PAGE, keys_of_mails=keys)
    old, new = await key_of(site), await key_of(site)
    assert (await reset(site, old)).message == NO_MATCH
    site.clock.advance(60)
    assert (await reset(site, new)).message == NO_MATCH


async def test_asking_tells_strangers_nothing(any_site: Site) -> None:
    replies = [await any_site.ask("POST", f"/users/{name}/request-password-reset") for name in ("alice", "nobody")]
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert (await any_site.mail()).recipients == ["alice@example.com"]


@pytest.mark.parametrize("compatibility", Compatibility)
async def test_asking_tells_admins_and_existing_clients(make_any_site: SiteMaker, compatibility: Compatibility) -> None:
    site = await make_any_site(compatibility=compatibility)
    is_webinate = compatibility is Compatibility.WEBINATE
    cookie = None if is_webinate else await site.login("chief")
    reply = await site.ask("GET", "/users/nobody/request-password-reset", cookie=cookie)
    assert (reply.message, reply.json["error"]) == ("No user exists with the specified details", True)
    assert (reply.status == 200) is is_webinate
    reply = await site.ask("GET", "/users/alice/request-password-reset", cookie=cookie)
    assert (reply.message, reply.json["error"]) == (REQUESTED, False)


async def test_a_new_password_ends_a_change_of_address_that_was_begun(reset_site: Site) -> None:
    site = reset_site
    cookie = await site.login("alice")
    body = {"email": "eve@example.com", "password": PASSWORD}
    assert (await site.ask("PUT", "/users/alice/email", body, cookie=cookie)).status == 200
    parts = urlsplit((await site.mail()).link)
    assert (await reset(site, await key_of(site))).status == 200
    assert (await site.ask("GET", f"{parts.path}?{parts.query}")).status == 422


async def test_who_waits_for_activation_gets_a_new_password_but_stays_inactive(reset_site: Site) -> None:
    await reset_site.add_inactive("carol")
    key = await key_of(reset_site, "carol")
    assert (await reset(reset_site, key, user="carol")).status == 200
    reply = await reset_site.ask("POST", "/users/login", {"username": "carol", "password": "a new one"})
    assert reply.status == 403


async def test_the_tag_tells_that_a_key_is_waited_for_and_not_which(reset_site: Site) -> None:
    chief = await reset_site.login("chief")
    key = await key_of(reset_site)
    entry = (await reset_site.ask("GET", "/users/alice", cookie=chief)).json["data"]
    assert entry["passwordTag"] == "*" * 63
    verbose = (await reset_site.ask("GET", "/users/alice?verbose=true", cookie=chief)).json["data"]
    assert len(verbose["passwordTag"]) == 64
    assert key not in str(verbose)
    await reset(reset_site, key)
    assert (await reset_site.ask("GET", "/users/alice", cookie=chief)).json["data"]["passwordTag"] == ""


class TestChange:
    async def test_the_old_password_makes_a_new_one_and_only_the_caller_stays(self, any_site: Site) -> None:
        site = any_site
        other = await site.login("alice")
        mine = await site.login("alice", rememberMe=False)
        site.listener.events.clear()
        body = {"password": PASSWORD, "newPassword": "a new one"}
        reply = await site.ask("PUT", "/users/alice/password", body, cookie=mine)
        assert (reply.status, reply.message) == (200, "Your password has been changed")
        assert reply.cookie is not None
        assert reply.cookie["max-age"] == ""
        for cookie, is_alive in ((other, False), (mine, False), (reply.cookie.value, True)):
            answer = await site.ask("GET", "/authenticated", cookie=cookie)
            assert answer.json["authenticated"] is is_alive
        assert [event for event, _ in site.listener.events] == ["Logout", "Logout", "Login"]
        await site.login("alice", "a new one")
        assert (await site.mail()).recipients == ["alice@example.com"]

    @pytest.mark.parametrize(
        ("caller", "path", "body", "status", "message"),
        [
            ("", "alice", {}, 401, "You must be logged in to make this request"),
            ("bob", "alice", {}, 403, "You don't have permission to make this request"),
            ("chief", "alice", {}, 403, "You don't have permission to make this request"),
            ("alice", "alice", {"password": "wrong"}, 422, "The password is not correct"),
            ("alice", "alice", {"password": ""}, 422, "Please enter a valid password"),
            ("alice", "alice", {"newPassword": ""}, 422, "Please enter a valid password"),
            ("alice", "alice", {"newPassword": "x" * 2000}, 422, "Password cannot be longer than 1024 bytes"),
        ],
    )
    async def test_refusals(
        self, any_site: Site, caller: str, path: str, body: dict[str, str], status: int, message: str
    ) -> None:
        cookie = await any_site.login(caller) if caller else None
        fields = {"password": PASSWORD, "newPassword": "a new one"} | body
        reply = await any_site.ask("PUT", f"/users/{path}/password", fields, cookie=cookie)
        assert (reply.status, reply.message) == (status, message)
        await any_site.login("alice")

    async def test_guessing_is_limited_as_a_login_is(self, site: Site) -> None:
        cookie = await site.login("alice")
        body = {"password": "wrong", "newPassword": "a new one"}
        statuses = [(await site.ask("PUT", "/users/alice/password", body, cookie=cookie)).status for _ in range(11)]
        assert statuses == [422] * 10 + [429]

    async def test_a_super_admin_may_too(self, site: Site) -> None:
        cookie = await site.login("chief")
        body = {"password": CHIEF.password, "newPassword": "a new one"}
        assert (await site.ask("PUT", "/users/chief/password", body, cookie=cookie)).status == 200
