"""CORS for approved pages, and refusals of what foreign pages make a browser send."""

from __future__ import annotations

import pytest

from tests.web.site import PASSWORD, Site, SiteMaker
from users_server.web.settings import HttpSettings

APPROVED = "https://app.example.com"
FOREIGN = "https://evil.example"
SETTINGS = HttpSettings(approved_domains=(r"^https://app\.example\.com$", r"^http://localhost(:\d+)?$"))
LOGIN = {"username": "alice", "password": PASSWORD}


@pytest.mark.gen_test
@pytest.mark.parametrize("origin", [APPROVED, "http://localhost", "http://localhost:3000"])
async def test_an_approved_page_may_call(make_site: SiteMaker, origin: str) -> None:
    site = await make_site(http=SETTINGS)
    reply = await site.ask("POST", "/users/login", LOGIN, headers={"Origin": origin})
    assert reply.status == 200
    assert reply.headers["Access-Control-Allow-Origin"] == origin
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert "Origin" in reply.headers["Vary"]


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "origin", [FOREIGN, "https://app.example.com.evil.example", "http://app.example.com", "null", "http://127.0.0.1:1"]
)
async def test_other_pages_may_neither_change_nor_read(make_site: SiteMaker, origin: str) -> None:
    site = await make_site(http=SETTINGS)
    cookie = await site.login("alice")
    headers = {"Origin": origin}
    refused = [
        await site.ask("POST", "/users/login", LOGIN, headers=headers),
        await site.ask("POST", "/logout", headers=headers, cookie=cookie),
        await site.ask("GET", "/logout", headers=headers, cookie=cookie),
        await site.ask("POST", "/tokens", headers=headers, cookie=cookie),
        await site.ask("DELETE", "/users/alice", headers=headers, cookie=cookie),
        await site.ask("PUT", "/users/alice/approve-activation", headers=headers, cookie=cookie),
    ]
    for reply in refused:
        assert (reply.status, reply.message) == (403, "Requests from this origin are not allowed")
        assert "Access-Control-Allow-Origin" not in reply.headers
        assert "Origin" in reply.headers["Vary"]
    read = await site.ask("GET", "/authenticated", headers=headers, cookie=cookie)
    assert (read.status, read.json["authenticated"]) == (200, True)
    assert "Access-Control-Allow-Origin" not in read.headers


@pytest.mark.gen_test
@pytest.mark.parametrize("origin", ["http://{host}", "HTTP://{host}", "https://{host}"])
async def test_pages_of_this_server_may_call(site: Site, origin: str) -> None:
    reply = await site.ask("POST", "/users/login", LOGIN, headers={"Origin": origin.format(host=site.host)})
    assert reply.status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("distance", "status"), [("cross-site", 403), ("same-site", 200), ("same-origin", 200), ("none", 200)]
)
async def test_a_browser_that_only_says_how_far_away_the_page_is(site: Site, distance: str, status: int) -> None:
    cookie = await site.login("alice")
    headers = {"Sec-Fetch-Site": distance}
    assert (await site.ask("POST", "/users/login", LOGIN, headers=headers)).status == status
    assert (await site.ask("GET", "/logout", headers=headers, cookie=cookie)).status == status


@pytest.mark.gen_test
async def test_a_get_logout_without_a_cookie_harms_nobody(site: Site) -> None:
    assert (await site.ask("GET", "/logout", headers={"Origin": FOREIGN})).status == 200


@pytest.mark.gen_test
async def test_the_preflight_of_an_approved_page(make_site: SiteMaker) -> None:
    site = await make_site(http=SETTINGS)
    headers = {
        "Origin": APPROVED,
        "Access-Control-Request-Method": "DELETE",
        "Access-Control-Request-Headers": "content-type",
    }
    reply = await site.ask("OPTIONS", "/users/alice", headers=headers)
    assert (reply.status, reply.body) == (204, b"")
    assert reply.headers["Access-Control-Allow-Origin"] == APPROVED
    assert reply.headers["Access-Control-Allow-Credentials"] == "true"
    assert reply.headers["Access-Control-Allow-Methods"] == "DELETE, GET, HEAD, OPTIONS"
    assert reply.headers["Access-Control-Allow-Headers"] == "authorization, content-type, users-api-key"
    assert int(reply.headers["Access-Control-Max-Age"]) > 0
    assert "Origin" in reply.headers["Vary"]


@pytest.mark.gen_test
@pytest.mark.parametrize("headers", [{}, {"Origin": FOREIGN, "Access-Control-Request-Method": "DELETE"}])
async def test_the_preflight_of_any_other_page(make_site: SiteMaker, headers: dict[str, str]) -> None:
    site = await make_site(http=SETTINGS)
    reply = await site.ask("OPTIONS", "/users/alice", headers=headers)
    assert reply.status == 204
    assert reply.headers["Allow"] == "DELETE, GET, HEAD, OPTIONS"
    assert not [name for name in reply.headers if name.lower().startswith("access-control")]


@pytest.mark.gen_test
async def test_refusals_can_be_read_by_approved_pages(make_site: SiteMaker) -> None:
    site = await make_site(http=SETTINGS)
    headers = {"Origin": APPROVED}
    replies = [
        await site.ask("GET", "/users/alice", headers=headers),
        await site.ask("GET", "/nowhere", headers=headers),
        await site.ask("PATCH", "/users", headers=headers),
        await site.ask("GET", "/users/%FF", headers=headers),
    ]
    assert [reply.status for reply in replies] == [401, 404, 405, 400]
    assert {reply.headers["Access-Control-Allow-Origin"] for reply in replies} == {APPROVED}


@pytest.mark.gen_test
@pytest.mark.parametrize("content_type", ["text/plain", "application/x-www-form-urlencoded", "multipart/form-data", ""])
async def test_a_form_cannot_carry_json(site: Site, content_type: str) -> None:
    reply = await site.ask("POST", "/users/login", LOGIN, headers={"Content-Type": content_type})
    assert (reply.status, reply.message) == (415, "The Content-Type of the body must be application/json")
    assert reply.json["authenticated"] is False
