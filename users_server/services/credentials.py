"""What a request says about who sends it. Nothing of it is believed here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs

SESSION_COOKIE = "SID"
API_KEY_HEADER = "users-api-key"

MAX_QUERY_FIELDS = 50


class ReadsHeaders(Protocol):
    """Request headers, asked by lower-case name: Tornado's, or a dictionary with lower-case names."""

    def get(self, name: str, /) -> str | None: ...


@dataclass(frozen=True, slots=True)
class Credentials:
    """The three ways to say who one is; :obj:`None` for each that was not used. Left out of ``repr``."""

    cookie: str | None = field(default=None, repr=False)
    token: str | None = field(default=None, repr=False)
    api_key: str | None = field(default=None, repr=False)

    @classmethod
    def of_headers(cls, headers: ReadsHeaders, query: str = "") -> Credentials:
        """
        Of the cookie ``SID``, ``Authorization: Bearer`` and the header ``users-api-key``.

        And of ``?token=`` in ``query``, because a browser's WebSocket cannot set headers; a token in a header goes
        before it.
        """
        cookie, authorization = headers.get("cookie"), headers.get("authorization")
        api_key = headers.get(API_KEY_HEADER)
        if cookie is None and authorization is None and api_key is None and not query:
            return NO_CREDENTIALS
        token = _bearer(authorization)
        return cls(
            cookie=_session_cookie(cookie),
            token=query_value(query, "token") if token is None else token,
            api_key=api_key,
        )

    def __bool__(self) -> bool:
        return self.cookie is not None or self.token is not None or self.api_key is not None


NO_CREDENTIALS = Credentials()


def query_value(query: str, name: str) -> str | None:
    """The first value of ``name``, which may be empty; :obj:`None` if it is not there or the query has no form."""
    if f"{name}=" not in query:
        return None
    try:
        values = parse_qs(query, keep_blank_values=True, max_num_fields=MAX_QUERY_FIELDS).get(name)
    except ValueError:
        return None
    return values[0] if values else None


def _session_cookie(header: str | None) -> str | None:
    """
    The last cookie of our name, as Tornado reads it; an empty one is none.

    Not by http.cookies: that gives up at the first cookie of another site's making that is not to its taste.
    """
    if header is None or SESSION_COOKIE not in header:
        return None
    found = ""
    for pair in header.split(";"):
        name, equals, value = pair.partition("=")
        if equals and name.strip() == SESSION_COOKIE:
            found = value.strip()
    if len(found) >= 2 and found[0] == found[-1] == '"':
        found = found[1:-1]
    return found or None


def _bearer(header: str | None) -> str | None:
    """The token of ``Bearer TOKEN``, which may be empty; :obj:`None` for another scheme."""
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None
