"""What a request says about who sends it. Nothing of it is believed here."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol
from urllib.parse import parse_qs

from tornado.httputil import HTTPServerRequest, parse_cookie

SESSION_COOKIE = "SID"
API_KEY_HEADER = "users-api-key"


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
    def of(cls, request: HTTPServerRequest) -> Credentials:
        """Of the cookie ``SID``, ``Authorization: Bearer`` and the header ``users-api-key``."""
        return cls.of_headers(request.headers)

    @classmethod
    def of_headers(cls, headers: ReadsHeaders, query: str = "") -> Credentials:
        """
        The same from headers alone, and from ``?token=``, because a browser's WebSocket cannot set headers.

        A token in a header goes before one in ``query``.
        """
        cookie, authorization = headers.get("cookie"), headers.get("authorization")
        api_key = headers.get(API_KEY_HEADER)
        if cookie is None and authorization is None and api_key is None and not query:
            return NO_CREDENTIALS
        token = _bearer(authorization)
        return cls(
            cookie=_session_cookie(cookie),
            token=_query_token(query) if token is None else token,
            api_key=api_key,
        )

    def __bool__(self) -> bool:
        return self.cookie is not None or self.token is not None or self.api_key is not None


NO_CREDENTIALS = Credentials()


def _session_cookie(header: str | None) -> str | None:
    if header is None or SESSION_COOKIE not in header:
        return None
    # not http.cookies: that gives up at the first cookie of another site's making that is not to its taste
    return parse_cookie(header).get(SESSION_COOKIE) or None


def _bearer(header: str | None) -> str | None:
    """The token of ``Bearer TOKEN``, which may be empty; :obj:`None` for another scheme."""
    if header is None:
        return None
    scheme, _, token = header.partition(" ")
    return token.strip() if scheme.lower() == "bearer" else None


def _query_token(query: str) -> str | None:
    if "token=" not in query:
        return None
    try:
        values = parse_qs(query, keep_blank_values=True, max_num_fields=50).get("token")
    except ValueError:
        return None
    return values[0] if values else None
