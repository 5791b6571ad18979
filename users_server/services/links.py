"""
The links in mails, and where people land who followed one.

Rule: the host of a link and of a redirect comes from the configuration, never from a request, so that nobody can have a
key sent to a server of his own or send people elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from users_server.services.origins import OriginPolicy

MAX_ORIGIN_LENGTH = 256


@dataclass(frozen=True, slots=True)
class Links:
    """
    Makes all links.

    Args:
        api_url: Tells where this API is for browsers, prefix included, without a slash at its end.
        account_redirect_url: Where people land; empty for nowhere.
        password_reset_url: The page for a new password; empty if there is none.
        origins: Pages that may be led back to; beside them those of this server and of ``account_redirect_url``.
    """

    api_url: Callable[[], str]
    account_redirect_url: str
    password_reset_url: str
    origins: OriginPolicy

    def activation(self, user: str, key: str, origin: str) -> str:
        """Of the mail after a registration."""
        return self._own("/activate-account", user, key, origin)

    def email_change(self, user: str, key: str, origin: str) -> str:
        """Of the mail to a new address."""
        return self._own("/confirm-email", user, key, origin)

    def password_reset(self, user: str, key: str, origin: str) -> str:
        """Of the mail for a new password; empty without a page for it."""
        if not self.password_reset_url:
            return ""
        return with_query(self.password_reset_url, user=user, key=key, origin=self.approved(origin))

    def landing(self, message: str, origin: str, *, is_error: bool) -> str:
        """Where somebody is led who followed a link; empty if there is no page for it."""
        if not self.account_redirect_url:
            return ""
        status = "error" if is_error else "success"
        return with_query(self.account_redirect_url, message=message, status=status, origin=self.approved(origin))

    def approved(self, origin: str) -> str:
        """``origin`` if it is one that people may be led back to, else nothing."""
        if not origin or len(origin) > MAX_ORIGIN_LENGTH or origin_of(origin) != origin.lower():
            return ""
        own = {origin_of(self.api_url()), origin_of(self.account_redirect_url), origin_of(self.password_reset_url)}
        return origin if origin.lower() in own or self.origins.approves(origin) else ""

    def _own(self, path: str, user: str, key: str, origin: str) -> str:
        return with_query(self.api_url() + path, user=user, key=key, origin=self.approved(origin))


def with_query(url: str, **parameters: str) -> str:
    """``url`` with these parameters in its query, in place of those of the same name; its other parts stay."""
    parts = urlsplit(url)
    kept = [pair for pair in parse_qsl(parts.query, keep_blank_values=True) if pair[0] not in parameters]
    return urlunsplit(parts._replace(query=urlencode([*kept, *parameters.items()])))


def origin_of(url: str) -> str:
    """Scheme and host of a web address, as a browser writes them; empty for anything else."""
    try:
        parts = urlsplit(url.lower())
    except ValueError:
        return ""
    if parts.scheme not in {"http", "https"} or not parts.netloc or "@" in parts.netloc:
        return ""
    return f"{parts.scheme}://{parts.netloc}"
