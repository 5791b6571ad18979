"""Registration and activation over HTTP: each row of the spec's tables, on both stores."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from tests.web.site import Site, SiteMaker
from users_server.services.account_settings import AccountKeySettings, MailLimits, MailSettings
from users_server.web.settings import Compatibility, HttpSettings

pytestmark = pytest.mark.gen_test(timeout=30)

REGISTERED = "Please activate your account with the link sent to your email address"
RESENT = "An activation link has been sent, please check your email for further instructions"
LANDING = "https://www.example.com/welcome"
DORA = {"username": "Dora", "email": "Dora@example.com", "password": "explorer"}

REFUSALS: list[tuple[dict[str, Any], int, str]] = [
    ({"username": ""}, 422, "Please enter a valid username"),
    ({"username": "d o r a"}, 422, "Please only use alpha numeric characters for your username"),
    ({"username": "dora@example.com"}, 422, "Please only use alpha numeric characters for your username"),
    (
        {"username": "ALICE"},
        409,
        "That username or email is already in use; please choose another or login.",
    ),
    (
        {"email": "ALICE@example.com"},
        409,
        "That username or email is already in use; please choose another or login.",
    ),
    ({"password": ""}, 422, "Password cannot be null or empty"),
    ({"email": ""}, 422, "Email cannot be null or empty"),
    ({"email": "dora"}, 422, "Please use a valid email address"),
    ({"email": "dora@example.com\r\nBcc: eve@example.com"}, 422, "Please use a valid email address"),
    ({"meta": {"a": "x" * 70_000}}, 413, "The meta data"),
]
"""In the order of the checks: what breaks an earlier rule is answered before what breaks a later one."""


async def register(site: Site, **fields: Any) -> Any:
    return await site.ask("POST", "/users/register", DORA | fields)


def announced(site: Site) -> list[tuple[str, Any]]:
    """What happened to accounts, without their buckets."""
    return [event for event in site.listener.events if not event[0].startswith("Bucket")]


def path_of(link: str) -> str:
    parts = urlsplit(link)
    return f"{parts.path}?{parts.query}"


def landed(location: str) -> tuple[str, dict[str, str]]:
    page, _, query = location.partition("?")
    return page, {name: values[0] for name, values in parse_qs(query, keep_blank_values=True).items()}


async def test_a_newcomer_registers_activates_and_logs_in(any_site: Site) -> None:
    site = any_site
    reply = await register(site, meta={"colour": "red"})
    assert (reply.status, reply.message, reply.cookie) == (200, REGISTERED, None)
    assert reply.json["authenticated"] is False
    user = reply.json["user"]
    assert (user["username"], user["email"], user["privileges"]) == ("Dora", "Dora@example.com", 3)
    assert (user["meta"], user["_id"], len(user["registerKey"])) == ({"colour": "red"}, "0" * 24, 63)
    refused = await site.ask("POST", "/users/login", {"username": "dora", "password": "explorer"})
    assert (refused.status, refused.message) == (
        403,
        "Please authorise your account by clicking on the link that was sent to your email",
    )
    assert announced(site) == []
    mail = await site.mail()
    assert mail.recipients == ["Dora@example.com"]
    assert mail.link in mail.part("html").replace("&amp;", "&")
    activated = await site.ask("GET", path_of(mail.link))
    assert (activated.status, activated.message) == (200, "Your account has been activated")
    assert announced(site) == [("Activated", {"username": "Dora"})]
    await site.login("dora@example.com", "explorer")
    again = await site.ask("GET", path_of(mail.link))
    assert (again.status, again.message) == (409, "Account has already been activated")
    assert [event for event, _ in announced(site)] == ["Activated", "Login"]


@pytest.mark.parametrize(("fields", "status", "message"), REFUSALS)
async def test_refusals(any_site: Site, fields: dict[str, Any], status: int, message: str) -> None:
    reply = await register(any_site, **fields)
    assert reply.status == status
    assert reply.message.startswith(message)
    assert reply.json["authenticated"] is False
    assert await any_site.mails() == []
    assert await any_site.store.find_user("dora") is None


@pytest.mark.parametrize("first", range(len(REFUSALS) - 1))
async def test_the_first_rule_that_is_broken_is_the_answer(site: Site, first: int) -> None:
    fields: dict[str, Any] = {}
    for broken, _, _ in reversed(REFUSALS[first:]):
        fields |= broken
    reply = await register(site, **fields)
    assert (reply.status, reply.message) == REFUSALS[first][1:]


async def test_without_a_name_and_without_a_body(site: Site) -> None:
    assert (await site.ask("POST", "/users/register")).message == "Please enter a valid username"
    assert (await site.ask("POST", "/users/register", {"username": 7})).status == 422


async def test_of_fifty_at_once_one_makes_the_account(any_site: Site) -> None:
    replies = await asyncio.gather(
        *(
            register(any_site, username="Dora" if number % 2 else "dORA", email=f"d{number}@example.com")
            for number in range(50)
        )
    )
    statuses = [reply.status for reply in replies]
    assert sorted(statuses) == [200] + [409] * 49
    assert {reply.message for reply in replies} == {
        REGISTERED,
        "That username or email is already in use; please choose another or login.",
    }
    winner = replies[statuses.index(200)].json["user"]
    mails = await any_site.mails()
    assert [mail.recipients for mail in mails] == [[winner["email"]]]
    assert (await any_site.store.list_users(search="dora")).count == 1


async def test_without_mail_there_is_no_account(make_any_site: SiteMaker) -> None:
    site = await make_any_site(mail_settings=MailSettings(transport="none"))
    reply = await register(site)
    assert (reply.status, reply.message) == (503, "No email account has been setup")
    assert await site.store.find_user("dora") is None
    for path in ("/users/alice/resend-activation", "/users/nobody/resend-activation"):
        assert (await site.ask("POST", path)).message == "No email account has been setup"


async def test_a_full_queue_refuses_before_there_is_an_account(make_site: SiteMaker) -> None:
    site = await make_site(mail_settings=MailSettings(transport="file", max_waiting=1))
    with site.context.flows.queue.reserve():
        reply = await register(site)
    assert (reply.status, reply.headers["Retry-After"]) == (503, "5")
    assert await site.store.find_user("dora") is None
    assert (await register(site)).status == 200


async def test_what_a_new_account_has_comes_and_goes_with_it(any_site: Site) -> None:
    await register(any_site)
    user = await any_site.store.find_user("dora")
    assert user is not None
    await any_site.mails()
    cookie = await any_site.login("chief")
    buckets = await any_site.ask("GET", "/users/dora/buckets", cookie=cookie)
    assert [bucket["name"] for bucket in buckets.json["data"]] == ["Dora-bucket"]
    assert (await any_site.ask("DELETE", "/users/dora", cookie=cookie)).status == 200
    assert (await register(any_site)).status == 200


async def test_the_link_leads_to_the_landing_page(make_any_site: SiteMaker) -> None:
    site = await make_any_site(account_redirect_url=LANDING)
    await register(site)
    link = (await site.mail()).link
    wrong = await site.ask("GET", path_of(link).replace("key=", "key=x"))
    assert wrong.status == 302
    assert landed(wrong.headers["Location"]) == (
        LANDING,
        {"message": "Activation key is not valid. Please try send another.", "status": "error", "origin": ""},
    )
    right = await site.ask("GET", path_of(link))
    assert (right.status, right.headers["Referrer-Policy"]) == (302, "no-referrer")
    page, query = landed(right.headers["Location"])
    assert (page, query["status"]) == (LANDING, "success")
    assert announced(site) == [("Activated", {"username": "Dora"})]
    again = await site.ask("GET", path_of(link))
    assert landed(again.headers["Location"])[1]["message"] == "Account has already been activated"
    assert len(announced(site)) == 1


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ("", "Please enter a valid username"),
        ("?user=no%20body&key=x", "Please only use alpha numeric characters for your username"),
        ("?user=nobody&key=x", "No user exists with those credentials"),
        ("?user=alice&key=x", "Account has already been activated"),
        ("?user=carol&key=", "Activation key is not valid. Please try send another."),
        ("?user=carol&key=register-key", "Activation key is not valid. Please try send another."),
    ],
)
async def test_links_that_activate_nothing(make_any_site: SiteMaker, query: str, message: str) -> None:
    site = await make_any_site(account_redirect_url=LANDING)
    await site.add_inactive("carol")
    reply = await site.ask("GET", f"/activate-account{query}")
    assert landed(reply.headers["Location"]) == (LANDING, {"message": message, "status": "error", "origin": ""})
    assert announced(site) == []


async def test_the_redirect_is_not_open(make_site: SiteMaker) -> None:
    site = await make_site(
        account_redirect_url=LANDING, http=HttpSettings(approved_domains=(r"^https://app\.example\.com$",))
    )
    await site.ask("POST", "/users/register", DORA, headers={"Origin": "https://app.example.com"})
    link = (await site.mail()).link
    assert "origin=https%3A%2F%2Fapp.example.com" in link
    for origin in (
        "https://evil.example",
        "//evil.example",
        "javascript:alert(1)",
        "https://app.example.com@evil.example",
    ):
        reply = await site.ask("GET", f"/activate-account?user=dora&key=x&origin={origin}")
        assert landed(reply.headers["Location"])[0] == LANDING
        assert landed(reply.headers["Location"])[1]["origin"] == ""
    reply = await site.ask("GET", path_of(link))
    assert landed(reply.headers["Location"])[1]["origin"] == "https://app.example.com"


async def test_a_link_works_from_a_page_that_shows_mails_but_not_by_head(site: Site) -> None:
    await register(site)
    path = path_of((await site.mail()).link)
    assert (await site.ask("HEAD", path)).status == 405
    cookie = await site.login("alice")
    headers = {"Sec-Fetch-Site": "cross-site", "Origin": "https://mail.example"}
    assert (await site.ask("GET", path, cookie=cookie, headers=headers)).status == 200


async def test_a_link_ends_in_time(make_any_site: SiteMaker) -> None:
    site = await make_any_site(keys_of_mails=AccountKeySettings(activation_seconds=60))
    await register(site)
    path = path_of((await site.mail()).link)
    site.clock.advance(60)
    reply = await site.ask("GET", path)
    assert reply.message == "Activation key is not valid. Please try send another."
    await site.ask("POST", "/users/dora/resend-activation")
    assert (await site.ask("GET", path_of((await site.mail()).link))).status == 200


async def test_of_many_uses_at_once_one_activates(any_site: Site) -> None:
    await register(any_site)
    path = path_of((await any_site.mail()).link)
    replies = await asyncio.gather(*(any_site.ask("GET", path) for _ in range(20)))
    assert sorted(reply.status for reply in replies) == [200] + [409] * 19
    assert announced(any_site) == [("Activated", {"username": "Dora"})]


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_new_link_ends_the_old_one(any_site: Site, method: str) -> None:
    await register(any_site)
    old = path_of((await any_site.mail()).link)
    reply = await any_site.ask(method, "/users/DORA@example.com/resend-activation")
    assert (reply.status, reply.message) == (200, RESENT)
    new = path_of((await any_site.mail()).link)
    assert (await any_site.ask("GET", old)).message == "Activation key is not valid. Please try send another."
    assert (await any_site.ask("GET", new)).status == 200


async def test_resending_tells_strangers_nothing(any_site: Site) -> None:
    await any_site.add_inactive("carol")
    replies = [await any_site.ask("POST", f"/users/{name}/resend-activation") for name in ("carol", "alice", "nobody")]
    assert {(reply.status, reply.body) for reply in replies} == {(200, replies[0].body)}
    assert replies[0].message == RESENT
    mails = await any_site.mails()
    assert [mail.recipients for mail in mails] == [["alice@example.com"], ["carol@example.com"]]
    assert "key=" not in mails[0].part("plain")


async def test_nothing_of_the_account_is_looked_at_before_the_answer(site: Site) -> None:
    """Whatever the store's time tells, it does not tell it in the answer's."""
    asked: list[str] = []
    original = site.store.find_user

    async def find_user(name: str) -> Any:
        asked.append(name)
        await asyncio.Event().wait()
        return await original(name)

    site.store.find_user = find_user  # type: ignore[method-assign]
    for path in ("/users/alice/resend-activation", "/users/nobody/request-password-reset"):
        assert (await site.ask("POST", path)).status == 200
    await site.context.flows.queue.stop(0)
    assert set(asked) <= {"alice", "nobody"}
    site.store.find_user = original  # type: ignore[method-assign]


@pytest.mark.parametrize("compatibility", Compatibility)
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("nobody", "No user exists with the specified details"),
        ("alice", "Account has already been activated"),
        ("no%20body", "Please only use alpha numeric characters for your username"),
        ("carol", RESENT),
    ],
)
async def test_resending_tells_admins_and_existing_clients(
    make_any_site: SiteMaker, name: str, message: str, compatibility: Compatibility
) -> None:
    site = await make_any_site(compatibility=compatibility)
    await site.add_inactive("carol")
    is_webinate = compatibility is Compatibility.WEBINATE
    cookie = None if is_webinate else await site.login("chief")
    reply = await site.ask("GET", f"/users/{name}/resend-activation", cookie=cookie)
    assert (reply.message, reply.json["error"]) == (message, message != RESENT)
    assert (reply.status == 200) is (is_webinate or message == RESENT)


async def test_existing_clients_are_told_as_ever(make_any_site: SiteMaker) -> None:
    site = await make_any_site(compatibility=Compatibility.WEBINATE, account_redirect_url=LANDING)
    reply = await register(site)
    assert (reply.status, reply.json["authenticated"], reply.json["error"]) == (200, True, False)
    refused = await register(site)
    assert (refused.status, refused.json["authenticated"], refused.json["error"]) == (200, False, True)
    assert (await site.ask("GET", path_of((await site.mail()).link))).status == 302


async def test_an_admin_activates_without_the_key(any_site: Site) -> None:
    await register(any_site)
    link = (await any_site.mail()).link
    cookie = await any_site.login("chief")
    assert (await any_site.ask("PUT", "/users/dora/approve-activation", cookie=cookie)).status == 200
    assert (await any_site.ask("GET", path_of(link))).status == 409
    assert [event for event, _ in announced(any_site)].count("Activated") == 1


async def test_the_key_is_kept_nowhere(site: Site) -> None:
    await register(site)
    link = (await site.mail()).link
    key = parse_qs(urlsplit(link).query)["key"][0]
    assert len(key) >= 43
    entry = (await site.ask("GET", "/users/dora?verbose=true", cookie=await site.login("chief"))).json["data"]
    assert entry["registerKey"]
    assert key not in str(entry)
    await site.store.check()
    for file in site.directory.glob("users.db*"):
        assert key.encode() not in file.read_bytes()


async def test_strangers_cause_a_bounded_number_of_mails(make_site: SiteMaker) -> None:
    limits = MailLimits(per_recipient=2, per_address=5, window_seconds=60)
    site = await make_site(mail_settings=MailSettings(transport="file", limits=limits))
    await site.add_inactive("carol")
    replies = [await site.ask("POST", "/users/carol/resend-activation") for _ in range(4)]
    assert {reply.status for reply in replies} == {200}
    mails = await site.mails()
    assert len(mails) == 2
    # what was not sent has not ended the link that was
    links = [path_of(mail.link) for mail in mails]
    statuses = [(await site.ask("GET", link)).status for link in links]
    assert sorted(statuses) in ([200, 422], [200, 409])
    assert (await site.ask("POST", "/users/nobody/resend-activation")).status == 200
    refused = await site.ask("POST", "/users/nobody/resend-activation")
    assert refused.status == 429
    assert 0 < int(refused.headers["Retry-After"]) <= 60
    site.clock.advance(60)
    assert (await site.ask("POST", "/users/nobody/resend-activation")).status == 200


async def test_a_foreign_page_registers_nobody(site: Site) -> None:
    headers = {"Origin": "https://evil.example"}
    assert (await site.ask("POST", "/users/register", DORA, headers=headers)).status == 403
    cookie = await site.login("alice")
    assert (await site.ask("GET", "/users/bob/resend-activation", cookie=cookie, headers=headers)).status == 403
