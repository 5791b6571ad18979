"""A new address over HTTP: asked for, confirmed from there, told to the old one; on both stores."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.site import PASSWORD, Site, SiteMaker
from users_server.services.account_settings import AccountKeySettings

pytestmark = pytest.mark.gen_test(timeout=30)

ASKED = "Please confirm your address with the link sent to it"
TAKEN = "That username or email is already in use; please choose another or login."
NEW = {"email": "Alice@elsewhere.example", "password": PASSWORD}


async def begin(site: Site, **fields: Any) -> str:
    """Ask for a new address of alice; the path of the link."""
    reply = await site.ask("PUT", "/users/alice/email", NEW | fields, cookie=await site.login("alice"))
    assert (reply.status, reply.message) == (200, ASKED)
    mail = await site.mail()
    assert mail.recipients == [fields.get("email", NEW["email"])]
    parts = urlsplit(mail.link)
    return f"{parts.path}?{parts.query}"


async def email_of(site: Site, name: str = "alice") -> str:
    user = await site.store.find_user(name)
    assert user is not None
    return user.email


async def test_an_address_changes_when_it_is_confirmed(any_site: Site) -> None:
    link = await begin(any_site)
    assert await email_of(any_site) == "alice@example.com"
    reply = await any_site.ask("GET", link)
    assert (reply.status, reply.message) == (200, "Your address has been changed")
    assert await email_of(any_site) == "Alice@elsewhere.example"
    told = await any_site.mail()
    assert told.recipients == ["alice@example.com"]
    assert "Alice@elsewhere.example" in told.part("plain")
    await any_site.login("alice@ELSEWHERE.example")
    assert (await any_site.ask("GET", link)).message == "The key is not valid; please ask for another one"


async def test_confirming_leads_to_the_landing_page(make_any_site: SiteMaker) -> None:
    site = await make_any_site(account_redirect_url="https://www.example.com/welcome")
    link = await begin(site)
    reply = await site.ask("GET", link)
    assert reply.status == 302
    assert parse_qs(urlsplit(reply.headers["Location"]).query)["status"] == ["success"]


@pytest.mark.parametrize(
    ("caller", "fields", "status", "message"),
    [
        ("", {}, 401, "You must be logged in to make this request"),
        ("bob", {}, 403, "You don't have permission to make this request"),
        ("alice", {"email": ""}, 422, "Email cannot be null or empty"),
        ("alice", {"email": "a\r\nBcc: eve@example.com"}, 422, "Please use a valid email address"),
        ("alice", {"password": "wrong"}, 422, "The password is not correct"),
        ("alice", {"email": "BOB@example.com"}, 409, TAKEN),
        ("alice", {"email": "alice@example.com"}, 409, TAKEN),
    ],
)
async def test_refusals(any_site: Site, caller: str, fields: dict[str, str], status: int, message: str) -> None:
    cookie = await any_site.login(caller) if caller else None
    reply = await any_site.ask("PUT", "/users/alice/email", NEW | fields, cookie=cookie)
    assert (reply.status, reply.message) == (status, message)
    assert await any_site.mails() == []
    assert await email_of(any_site) == "alice@example.com"


async def test_admins_need_no_password_but_not_for_the_super_admin(any_site: Site) -> None:
    cookie = await any_site.login("deputy")
    body = {"email": "new@example.com"}
    assert (await any_site.ask("PUT", "/users/alice/email", body, cookie=cookie)).status == 200
    assert (await any_site.ask("PUT", "/users/chief/email", body, cookie=cookie)).status == 403
    assert (await any_site.ask("PUT", "/users/nobody/email", body, cookie=cookie)).status == 404


async def test_the_own_address_may_change_its_case(any_site: Site) -> None:
    assert (await any_site.ask("GET", await begin(any_site, email="ALICE@example.com"))).status == 200
    assert await email_of(any_site) == "ALICE@example.com"


async def test_an_address_that_was_taken_meanwhile(any_site: Site) -> None:
    link = await begin(any_site)
    await any_site.context.users.create(
        any_site.by_chief, username="dora", email="alice@elsewhere.example", password=PASSWORD
    )
    reply = await any_site.ask("GET", link)
    assert (reply.status, reply.message) == (409, TAKEN)
    assert await email_of(any_site) == "alice@example.com"


async def test_a_key_works_once_in_time_and_until_the_next(make_any_site: SiteMaker) -> None:
    site = await make_any_site(keys_of_mails=AccountKeySettings(email_change_seconds=60))
    old = await begin(site)
    new = await begin(site, email="new@example.com")
    assert (await site.ask("GET", old)).status == 422
    replies = await asyncio.gather(*(site.ask("GET", new) for _ in range(10)))
    assert sorted(reply.status for reply in replies) == [200] + [422] * 9
    assert (await site.mail()).recipients == ["alice@example.com"]
    late = await begin(site, email="late@example.com")
    site.clock.advance(60)
    assert (await site.ask("GET", late)).status == 422
    assert await email_of(site) == "new@example.com"


async def test_a_key_for_a_new_password_ends_with_the_address_it_went_to(make_any_site: SiteMaker) -> None:
    site = await make_any_site(password_reset_url="https://www.example.com/reset")
    await site.ask("POST", "/users/alice/request-password-reset")
    key = parse_qs(urlsplit((await site.mail()).link).query)["key"][0]
    assert (await site.ask("GET", await begin(site))).status == 200
    reply = await site.ask("PUT", "/password-reset", {"user": "alice", "key": key, "password": "a new one"})
    assert reply.message == "Password codes do not match. Please try resetting your password again"
