"""
Which pages of other sites may call this server, and which requests are refused because of where they come from.

A browser says where a page is from in ``Origin``, or at least how far away in ``Sec-Fetch-Site``. A client that sends
neither is no browser and carries nobody's cookies but its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from urllib.parse import urlsplit

from users_server.services.origins import OriginPolicy

PREFLIGHT_SECONDS = 7200
ALLOWED_HEADERS = "authorization, content-type, users-api-key"
EXPOSED_HEADERS = "Retry-After"
_DEFAULT_PORTS = {"http": ":80", "https": ":443"}


def is_foreign(headers: Mapping[str, str], policy: OriginPolicy) -> bool:
    """Whether a browser sent the request for a page that is neither this server's own nor approved."""
    origin = headers.get("Origin")
    if origin is None:
        return headers.get("Sec-Fetch-Site", "").lower() == "cross-site"
    return not (is_same_origin(origin, headers.get("Host", "")) or policy.approves(origin))


def is_same_origin(origin: str, host: str) -> bool:
    """
    Whether ``origin`` names this server as the request's ``host`` does.

    The scheme is not compared: behind a proxy this server may not know its own.
    """
    try:
        scheme, netloc, *rest = urlsplit(origin.lower())
    except ValueError:
        return False
    port = _DEFAULT_PORTS.get(scheme)
    if port is None or any(rest) or not netloc:
        return False
    return netloc.removesuffix(port) == host.lower().removesuffix(port)


def cors_headers(origin: str | None, policy: OriginPolicy) -> dict[str, str]:
    """The headers that let an approved page read the answer; without approval nothing but ``Vary``."""
    headers = {"Vary": "Origin"}
    if origin is not None and policy.approves(origin):
        headers["Access-Control-Allow-Origin"] = origin
        headers["Access-Control-Allow-Credentials"] = "true"
        headers["Access-Control-Expose-Headers"] = EXPOSED_HEADERS
    return headers


def preflight_headers(methods: Iterable[str]) -> dict[str, str]:
    """What an approved page may send."""
    return {
        "Access-Control-Allow-Methods": ", ".join(methods),
        "Access-Control-Allow-Headers": ALLOWED_HEADERS,
        "Access-Control-Max-Age": str(PREFLIGHT_SECONDS),
    }
