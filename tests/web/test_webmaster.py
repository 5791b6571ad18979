"""Messages to the webmaster, and the captcha of a registration, over HTTP."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from tests.web.site import CHIEF, Site, SiteMaker
from users_server.services.account_settings import CaptchaSettings, MailSettings

pytestmark = pytest.mark.gen_test(timeout=30)

SENT = "Your message has been sent to the support team"
DORA = {"username": "dora", "email": "dora@example.com", "password": "explorer"}


@pytest.fixture
def site(any_site: Site) -> Site:
    """Every test here runs on both stores."""
    return any_site


async def test_a_message_goes_to_the_super_admin_and_the_answer_to_its_sender(site: Site) -> None:
    body = {"message": "<b>Help</b> & more", "name": "Ünal, A.", "from": "unal@example.com"}
    reply = await site.ask("POST", "/message-webmaster", body)
    assert (reply.status, reply.message) == (200, SENT)
    mail = await site.mail()
    assert mail.recipients == [CHIEF.email]
    assert mail.message["From"].addresses[0].addr_spec == "users-server@localhost.localdomain"
    assert mail.message["Reply-To"].addresses[0].addr_spec == "unal@example.com"
    assert mail.message["Reply-To"].addresses[0].display_name == "Ünal, A."
    assert "<b>Help</b> & more" in mail.part("plain")
    assert "<b>" not in mail.part("html")
    assert "&lt;b&gt;Help" in mail.part("html")


async def test_the_configured_webmaster_learns_who_was_logged_in(make_any_site: SiteMaker) -> None:
    site = await make_any_site(mail_settings=MailSettings(transport="file", webmaster="support@example.com"))
    cookie = await site.login("alice")
    assert (await site.ask("POST", "/message-webmaster", {"message": "Help"}, cookie=cookie)).status == 200
    mail = await site.mail()
    assert mail.recipients == ["support@example.com"]
    assert "logged in as alice" in mail.part("plain")
    assert mail.message["Reply-To"] is None


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({}, "Please specify a message to send"),
        ({"message": " \n"}, "Please specify a message to send"),
        ({"message": "m", "from": "a@b.example\r\nBcc: eve@example.com"}, "Please use a valid email address"),
        ({"message": "m", "from": "ann"}, "Please use a valid email address"),
        ({"message": "m", "name": "a\r\nBcc: eve@example.com"}, "Please use a name of one line"),
        ({"message": "m" * 20_001}, "The request has invalid fields"),
        ({"message": "m", "name": "n" * 101}, "The request has invalid fields"),
    ],
)
async def test_refusals(site: Site, fields: dict[str, str], message: str) -> None:
    reply = await site.ask("POST", "/message-webmaster", fields)
    assert (reply.status, reply.message) == (422, message)
    assert await site.mails() == []


async def test_without_mail(make_any_site: SiteMaker) -> None:
    site = await make_any_site(mail_settings=MailSettings(transport="none"))
    reply = await site.ask("POST", "/message-webmaster", {"message": "Help"})
    assert (reply.status, reply.message) == (503, "No email account has been setup")


class VerifyHandler(RequestHandler):
    """Plays the provider: ``good`` is good."""

    def post(self) -> None:
        is_good = self.get_body_argument("response") == "good" and self.get_body_argument("secret") == "the secret"
        self.finish(json.dumps({"success": is_good}))


@pytest.fixture
def captcha(io_loop: IOLoop) -> Iterator[CaptchaSettings]:
    async def start() -> tuple[HTTPServer, int]:
        listening, port = bind_unused_port()
        server = HTTPServer(Application([("/verify", VerifyHandler)], log_function=lambda _: None))
        server.add_socket(listening)
        return server, port

    server, port = io_loop.run_sync(start)
    yield CaptchaSettings(provider="hcaptcha", secret="the secret", verify_url=f"http://127.0.0.1:{port}/verify")
    server.stop()
    io_loop.run_sync(server.close_all_connections)


@pytest.mark.parametrize(
    ("fields", "status", "message"),
    [
        ({}, 422, "Captcha cannot be null or empty"),
        ({"captcha": None}, 422, "Captcha cannot be null or empty"),
        ({"captcha": "bad"}, 422, "Your captcha code seems to be wrong. Please try another."),
        ({"captcha": "bad", "email": "dora"}, 422, "Please use a valid email address"),
        (
            {"captcha": "good", "challenge": "old"},
            200,
            "Please activate your account with the link sent to your email address",
        ),
    ],
)
async def test_a_captcha_before_a_registration(
    make_any_site: SiteMaker, captcha: CaptchaSettings, fields: dict[str, Any], status: int, message: str
) -> None:
    site = await make_any_site(captcha=captcha)
    reply = await site.ask("POST", "/users/register", DORA | fields)
    assert (reply.status, reply.message) == (status, message)
    assert (await site.store.find_user("dora") is not None) is (status == 200)
