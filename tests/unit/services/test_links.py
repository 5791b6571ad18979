"""Links and redirects go where the configuration says, whatever a request says."""

from __future__ import annotations

from urllib.parse import parse_qs, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_server.services.links import Links, origin_of, with_query
from users_server.services.origins import OriginPolicy

API = "https://api.example.com/v1"
LANDING = "https://www.example.com/welcome?lang=en#top"
RESET = "https://www.example.com/reset"


def make_links(*, landing: str = LANDING, reset: str = RESET) -> Links:
    return Links(lambda: API, landing, reset, OriginPolicy([r"^https://app\.example\.com$"]))


def query_of(url: str) -> dict[str, list[str]]:
    return parse_qs(urlsplit(url).query, keep_blank_values=True)


def test_links_of_mails() -> None:
    links = make_links()
    assert links.activation("ann", "k-_", "") == f"{API}/activate-account?user=ann&key=k-_&origin="
    assert links.email_change("ann", "k", "") == f"{API}/confirm-email?user=ann&key=k&origin="
    assert links.password_reset("ann", "k", "") == f"{RESET}?user=ann&key=k&origin="
    assert make_links(reset="").password_reset("ann", "k", "") == ""


def test_the_landing_page_keeps_its_own_query_and_fragment() -> None:
    url = make_links().landing("Ünïcode & more=1", "https://app.example.com", is_error=True)
    assert url.startswith("https://www.example.com/welcome?lang=en&")
    assert url.endswith("#top")
    assert query_of(url) == {
        "lang": ["en"],
        "message": ["Ünïcode & more=1"],
        "status": ["error"],
        "origin": ["https://app.example.com"],
    }
    assert query_of(make_links().landing("ok", "", is_error=False))["status"] == ["success"]
    assert make_links(landing="").landing("ok", "", is_error=False) == ""


@pytest.mark.parametrize(
    ("origin", "is_approved"),
    [
        ("https://app.example.com", True),
        ("https://api.example.com", True),
        ("https://www.example.com", True),
        ("HTTPS://WWW.EXAMPLE.COM", True),
        ("https://evil.example", False),
        ("https://app.example.com.evil.example", False),
        ("https://www.example.com@evil.example", False),
        ("https://www.example.com/path", False),
        ("https://www.example.com?x", False),
        ("//www.example.com", False),
        ("javascript:alert(1)", False),
        ("null", False),
        ("", False),
        ("http://[", False),
        ("https://www.example.com\r\nSet-Cookie: a=b", False),
    ],
)
def test_which_origins_are_passed_on(origin: str, is_approved: bool) -> None:
    assert make_links().approved(origin) == (origin if is_approved else "")


@given(st.text(max_size=100), st.text(max_size=300), st.text(max_size=100))
def test_no_text_leads_elsewhere(message: str, origin: str, user: str) -> None:
    links = make_links()
    message, origin, user = (text.encode("utf-8", "replace").decode() for text in (message, origin, user))
    for url, host in (
        (links.landing(message, origin, is_error=False), "www.example.com"),
        (links.activation(user, message, origin), "api.example.com"),
        (links.password_reset(user, message, origin), "www.example.com"),
    ):
        parts = urlsplit(url)
        assert (parts.scheme, parts.netloc) == ("https", host)
        assert url.isascii()
        assert url.isprintable()


def test_parameters_are_replaced_not_doubled() -> None:
    assert with_query("https://e.com/?origin=x&a=", origin="y") == "https://e.com/?a=&origin=y"


def test_origins_are_written_as_browsers_do() -> None:
    assert origin_of("HTTPS://Example.com:8443/path?query") == "https://example.com:8443"
    assert origin_of("ftp://example.com") == ""
