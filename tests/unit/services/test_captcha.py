"""Captchas, verified over HTTP with a server of our own that plays the provider."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import Any

import pytest
from structlog.testing import capture_logs
from tornado.httpserver import HTTPServer
from tornado.ioloop import IOLoop
from tornado.testing import bind_unused_port
from tornado.web import Application, RequestHandler

from users_server.errors import BackendError, InvalidValue, Overloaded
from users_server.services.account_settings import CaptchaSettings
from users_server.services.captcha import AWAY, MISSING, VERIFY_URLS, WRONG, CaptchaService
from users_server.web.outgoing import JSONPoster

pytestmark = pytest.mark.gen_test(timeout=20)


class Provider:
    """Accepts the answer ``good`` once, and keeps what it was sent; ``answer`` overrides what it says."""

    def __init__(self) -> None:
        self.forms: list[dict[str, str]] = []
        self.answer: tuple[int, bytes] | None = None
        self.gate = asyncio.Event()
        self.gate.set()

    def judge(self, form: dict[str, str]) -> tuple[int, bytes]:
        if self.answer is not None:
            return self.answer
        if form["secret"] != "the secret":
            return 200, json.dumps({"success": False, "error-codes": ["invalid-input-secret"]}).encode()
        is_new = [seen["response"] for seen in self.forms].count(form["response"]) == 1
        if form["response"] == "good" and is_new:
            return 200, b'{"success": true, "hostname": "example.com"}'
        return 200, b'{"success": false, "error-codes": ["invalid-input-response"]}'


class VerifyHandler(RequestHandler):
    def initialize(self, provider: Provider) -> None:
        self.provider = provider

    async def post(self) -> None:
        form = {name: self.get_body_argument(name) for name in self.request.body_arguments}
        self.provider.forms.append(form)
        await self.provider.gate.wait()
        status, body = self.provider.judge(form)
        self.set_status(status)
        self.finish(body)


class Site:
    def __init__(self) -> None:
        self.provider = Provider()
        application = Application(
            [("/verify", VerifyHandler, {"provider": self.provider})], log_function=lambda _: None
        )
        listening, port = bind_unused_port()
        self.server = HTTPServer(application)
        self.server.add_socket(listening)
        self.url = f"http://127.0.0.1:{port}/verify"
        self.client = JSONPoster()

    def service(self, **settings: Any) -> CaptchaService:
        values = {"provider": "turnstile", "secret": "the secret", "verify_url": self.url, **settings}
        return CaptchaService(CaptchaSettings(**values), self.client)

    async def stop(self) -> None:
        self.provider.gate.set()
        await self.client.close()
        self.server.stop()
        await self.server.close_all_connections()


@pytest.fixture
def site(io_loop: IOLoop) -> Iterator[Site]:
    async def make() -> Site:
        return Site()

    made: Site = io_loop.run_sync(make)
    yield made
    io_loop.run_sync(made.stop)


async def test_without_a_provider_everything_is_good(site: Site) -> None:
    await site.service(provider="none").check("", "127.0.0.1")
    assert site.provider.forms == []


@pytest.mark.parametrize("provider", VERIFY_URLS)
async def test_a_good_answer_is_good_once(site: Site, provider: str) -> None:
    service = site.service(provider=provider)
    await service.check("good", "192.0.2.1")
    assert site.provider.forms == [{"secret": "the secret", "response": "good", "remoteip": "192.0.2.1"}]
    with pytest.raises(InvalidValue, match="seems to be wrong") as error:
        await service.check("good", "192.0.2.1")
    assert error.value.message == WRONG


async def test_a_missing_answer_is_not_even_sent(site: Site) -> None:
    with pytest.raises(InvalidValue) as error:
        await site.service().check("", "192.0.2.1")
    assert (error.value.message, site.provider.forms) == (MISSING, [])


async def test_an_answer_cannot_add_a_field(site: Site) -> None:
    with pytest.raises(InvalidValue):
        await site.service().check("good&secret=mine&response=good", "192.0.2.1")
    assert site.provider.forms[0]["response"] == "good&secret=mine&response=good"
    with pytest.raises(InvalidValue):
        await site.service().check("x" * 10_000, "192.0.2.1")
    assert len(site.provider.forms) == 1


@pytest.mark.parametrize(("score", "is_good"), [(0.9, True), (0.5, True), (0.4, False), (0, False)])
async def test_a_score_must_be_high_enough(site: Site, score: float, is_good: bool) -> None:
    site.provider.answer = (200, json.dumps({"success": True, "score": score}).encode())
    if is_good:
        await site.service().check("any", "")
        return
    with pytest.raises(InvalidValue):
        await site.service().check("any", "")


async def test_a_wrong_secret_is_our_fault_and_not_the_visitors(site: Site) -> None:
    with capture_logs() as logs, pytest.raises(BackendError) as error:
        await site.service(secret="another one").check("good", "")
    assert error.value.message == AWAY
    assert logs[0]["log_level"] == "error"
    assert "another one" not in str(logs)


@pytest.mark.parametrize(
    "answer",
    [(500, b"{}"), (200, b"no JSON"), (200, b"[]"), (200, b"x" * 100_000), (302, b'{"success": true}')],
    ids=["500", "no JSON", "a list", "too long", "a redirect"],
)
async def test_what_is_no_verdict_lets_nobody_in(site: Site, answer: tuple[int, bytes]) -> None:
    site.provider.answer = answer
    with capture_logs(), pytest.raises(BackendError) as error:
        await site.service().check("good", "")
    assert error.value.message == AWAY


@pytest.mark.parametrize("success", ["true", 1, "1", [True], None])
async def test_only_true_is_success(site: Site, success: object) -> None:
    site.provider.answer = (200, json.dumps({"success": success}).encode())
    with pytest.raises(InvalidValue):
        await site.service().check("good", "")


async def test_a_provider_that_hangs_is_given_up_and_bounded(site: Site) -> None:
    site.provider.gate.clear()
    service = site.service(timeout_seconds=0.2, max_waiting=2)
    with capture_logs():
        waiting = [asyncio.ensure_future(service.check("good", "")) for _ in range(2)]
        await asyncio.wait(waiting, timeout=0)
        with pytest.raises(Overloaded):
            await service.check("good", "")
        results = await asyncio.gather(*waiting, return_exceptions=True)
    assert [type(result) for result in results] == [BackendError, BackendError]


async def test_a_provider_that_is_away(site: Site) -> None:
    site.server.stop()
    with capture_logs(), pytest.raises(BackendError):
        await site.service().check("good", "")


def test_the_secret_is_not_shown() -> None:
    assert "the secret" not in repr(CaptchaSettings(secret="the secret"))
