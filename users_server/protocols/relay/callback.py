"""
The application's HTTP callback (relay.md, Two-way): what a client sends is posted there before it is delivered.

A link reads nothing more from its client until the answer is there, so messages of one connection keep their order.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass

import structlog

from users_server.core.messages import JSON
from users_server.errors import BackendError, InvalidPayload, MalformedFrame, NotFound
from users_server.protocols.base import PostsJSON
from users_server.protocols.relay.errors import CallbackFailed, RefusedByApplication
from users_server.protocols.relay.kinds import KindRule, Passed
from users_server.protocols.relay.settings import REFUSE, CallbackSettings
from users_server.protocols.relay.tokens import Claims
from users_server.schemas.json_text import decode_object, encode
from users_server.services.apps import AppService

log = structlog.stdlib.get_logger(__name__)

SIGNATURE_HEADER = "X-Relay-Signature"
MAX_ANSWER_BYTES = 262_144
MAX_MESSAGE_LENGTH = 500
"""Characters of the application's own words that a client is told."""

BUSY = frozenset({408, 425, 429})
"""Of the 4xx, the ones that say "not now" and not "no"."""


class NoAnswer(Exception):
    """``why``: what came in the place of an answer."""

    def __init__(self, why: str) -> None:
        self.why = why
        super().__init__(why)


@dataclass(frozen=True, slots=True)
class Caller:
    """What a call is made with."""

    http: PostsJSON
    apps: AppService


class Callback:
    """Asks the application. At most ``settings.max_waiting`` calls are under way."""

    def __init__(self, settings: CallbackSettings, caller: Caller) -> None:
        self._settings = settings
        self._caller = caller
        self._waiting = 0
        self._is_failing = False

    async def ask(self, app: str, claims: Claims, rule: KindRule, data: dict[str, JSON], passed: Passed) -> Passed:
        """
        What shall be delivered: ``passed``, or what the application has put in its place, by the same ``rule``.

        Where it does not answer in time, answers what makes no sense, or too many calls are under way, the policy
        holds.

        Raises:
            RefusedByApplication: If it said no.
            CallbackFailed: If there was no answer, and the policy is to refuse.
        """
        try:
            answer = await self._call(app, claims, data)
            replaced = self._replaced(answer, rule, passed)
        except NoAnswer as failure:
            self._report(failure.why)
            if self._settings.policy == REFUSE:
                raise CallbackFailed from None
            return passed
        if self._is_failing:
            self._is_failing = False
            log.info("relay callback answers again")
        return replaced

    async def _call(self, app: str, claims: Claims, data: dict[str, JSON]) -> bytes:
        """The body of a yes. Raises :class:`NoAnswer` and :class:`RefusedByApplication`."""
        if self._waiting >= self._settings.max_waiting:
            raise NoAnswer("too many calls are under way")
        self._waiting += 1
        try:
            status, answer = await self._post(app, claims, data)
        except (BackendError, NotFound) as error:
            raise NoAnswer(error.message) from None
        finally:
            self._waiting -= 1
        if 200 <= status < 300:
            return answer
        if 400 <= status < 500 and status not in BUSY:
            raise RefusedByApplication(_words(_object_or_nothing(answer)))
        raise NoAnswer(f"status {status}")

    async def _post(self, app: str, claims: Claims, data: dict[str, JSON]) -> tuple[int, bytes]:
        body = encode(
            {
                "app": app,
                "channel": claims.channel,
                "sender": {"id": claims.user_id, "name": claims.name},
                "data": data,
            }
        )
        apps = self._caller.apps
        key = apps.webhook_key(await apps.get(app))
        headers = {SIGNATURE_HEADER: sign(key, body)} if key else {}
        return await self._caller.http.post(
            self._settings.url,
            body,
            headers,
            timeout_seconds=self._settings.timeout_seconds,
            max_answer_bytes=MAX_ANSWER_BYTES,
        )

    def _replaced(self, answer: bytes, rule: KindRule, passed: Passed) -> Passed:
        """Raises :class:`NoAnswer` for what is no answer, and :class:`RefusedByApplication`."""
        if not answer.strip():
            return passed
        try:
            message = decode_object(answer)
        except MalformedFrame:
            raise NoAnswer("the answer is no JSON object") from None
        if message.get("ok", True) is not True:
            raise RefusedByApplication(_words(message))
        if "data" not in message:
            return passed
        data = message["data"]
        if type(data) is not dict:
            raise NoAnswer("the data of the answer is no object")
        try:
            return rule.apply(data)
        except InvalidPayload:
            raise NoAnswer("the data of the answer has not the shape of its kind") from None

    def _report(self, why: str) -> None:
        """Once for each outage, not for each message."""
        if not self._is_failing:
            log.warning("relay callback fails", why=why, policy=self._settings.policy)
        self._is_failing = True


def sign(key: str, body: bytes) -> str:
    """HMAC-SHA256 in lower-case hex: how the application knows that a call is ours."""
    return hmac.new(key.encode(), body, hashlib.sha256).hexdigest()


def _object_or_nothing(answer: bytes) -> dict[str, JSON]:
    try:
        return decode_object(answer)
    except MalformedFrame:
        return {}


def _words(message: dict[str, JSON]) -> str | None:
    """
    The application's reason for people: ``error`` or ``message`` as text, or ``error.message``.

    Laravel's own refusals, 403 and 422, have ``message``.
    """
    error = message.get("error")
    words = error.get("message") if isinstance(error, dict) else error
    if not isinstance(words, str):
        words = message.get("message")
    return words[:MAX_MESSAGE_LENGTH] if isinstance(words, str) and words else None
