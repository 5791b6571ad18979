"""
Captchas: what a browser got from a provider is verified with the provider.

reCAPTCHA, hCaptcha and Turnstile have one protocol: a form with ``secret``, ``response`` and ``remoteip``, and an
answer in JSON with ``success``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Protocol
from urllib.parse import urlencode

import orjson
import structlog

from users_server.core.messages import JSON
from users_server.errors import BackendError, InvalidValue, Overloaded
from users_server.services.account_settings import CaptchaSettings

log = structlog.stdlib.get_logger(__name__)

MISSING = "Captcha cannot be null or empty"
WRONG = "Your captcha code seems to be wrong. Please try another."
AWAY = "The captcha cannot be verified; please try again later"
MAX_ANSWER_LENGTH = 8192
MAX_VERDICT_BYTES = 65_536

VERIFY_URLS: Mapping[str, str] = {
    "recaptcha": "https://www.google.com/recaptcha/api/siteverify",
    "hcaptcha": "https://api.hcaptcha.com/siteverify",
    "turnstile": "https://challenges.cloudflare.com/turnstile/v0/siteverify",
}
"""Where each provider verifies, unless the settings say otherwise."""

_OUR_FAULTS = {"missing-input-secret", "invalid-input-secret", "bad-request", "sitekey-secret-mismatch"}


class Posts(Protocol):
    """A client for HTTP."""

    async def post(
        self, url: str, body: bytes, headers: Mapping[str, str], *, timeout_seconds: float, max_answer_bytes: int
    ) -> tuple[int, bytes]:
        """Status and body of the answer. Raises :class:`BackendError` if none comes in time."""


class CaptchaService:
    """Asks the configured provider; without one every answer is good."""

    def __init__(self, settings: CaptchaSettings, client: Posts) -> None:
        self._settings = settings
        self._client = client
        self._url = settings.verify_url or VERIFY_URLS.get(settings.provider, "")
        self._under_way = 0

    @property
    def is_configured(self) -> bool:
        return self._settings.provider != "none"

    async def check(self, answer: str, address: str) -> None:
        """
        Return if ``answer`` is good for the client at ``address``. It is used up by that.

        Raises:
            InvalidValue: If it is missing or wrong.
            BackendError: If the provider is away, or refuses this server.
            Overloaded: If too many wait for the provider.
        """
        if not self.is_configured:
            return
        if not answer:
            raise InvalidValue(MISSING)
        if len(answer) > MAX_ANSWER_LENGTH:
            raise InvalidValue(WRONG)
        verdict = await self._ask(answer, address)
        if verdict.get("success") is not True:
            self._check_faults(verdict.get("error-codes"))
            raise InvalidValue(WRONG)
        score = verdict.get("score")
        if isinstance(score, int | float) and score < self._settings.min_score:
            raise InvalidValue(WRONG)

    async def _ask(self, answer: str, address: str) -> dict[str, JSON]:
        if self._under_way >= self._settings.max_waiting:
            raise Overloaded
        fields = {"secret": self._settings.secret, "response": answer}
        if address:
            fields["remoteip"] = address
        self._under_way += 1
        try:
            status, text = await self._client.post(
                self._url,
                urlencode(fields).encode(),
                {"Content-Type": "application/x-www-form-urlencoded"},
                timeout_seconds=self._settings.timeout_seconds,
                max_answer_bytes=MAX_VERDICT_BYTES,
            )
            verdict = orjson.loads(text)
        except (BackendError, orjson.JSONDecodeError) as error:
            log.warning("captcha not verified", provider=self._settings.provider, reason=str(error))
            raise BackendError(AWAY) from error
        finally:
            self._under_way -= 1
        # the providers answer 200, and 400 to what they do not like; anything else is not they
        if not isinstance(verdict, dict) or status not in {200, 400}:
            log.warning("captcha not verified", provider=self._settings.provider, status=status)
            raise BackendError(AWAY)
        return verdict

    def _check_faults(self, codes: JSON) -> None:
        """Raises :class:`BackendError` if not the visitor but the configuration is wrong."""
        found = (
            _OUR_FAULTS.intersection(code for code in codes if isinstance(code, str)) if isinstance(codes, list) else ()
        )
        if found:
            log.error("the captcha provider refuses this server", provider=self._settings.provider, codes=sorted(found))
            raise BackendError(AWAY)
