"""``/openapi.json`` and ``/docs``: complete, of this server, and with nothing that a page could be attacked by."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from tests.web.site import Site, SiteMaker
from users_server.protocols.jwp.http import HTTP_TABLE
from users_server.web.documents import ApiDocuments
from users_server.web.documents.page import kind_of, prose
from users_server.web.routes import ROUTES
from users_server.web.settings import HttpSettings

pytestmark = pytest.mark.gen_test(timeout=20)


class Page(HTMLParser):
    """What is on a page. Fails for a tag that is not closed where it should be."""

    VOID = ("meta",)

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: set[str] = set()
        self.attributes: set[str] = set()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(text)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.add(tag)
        self.attributes |= {name for name, _ in attrs}
        values = {name: value or "" for name, value in attrs}
        self.ids += [values["id"]] if "id" in values else []
        self.links += [values["href"]] if "href" in values else []
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


async def test_the_description_is_of_this_server(make_site: SiteMaker) -> None:
    site = await make_site(http=HttpSettings(api_prefix="/api/"))
    reply = await site.ask("GET", "/api/openapi.json")
    assert (reply.status, reply.headers["Content-Type"]) == (200, "application/json")
    assert [error.message for error in OpenAPIV31SpecValidator(reply.json).iter_errors()] == []
    assert reply.json["servers"] == [{"url": "/api"}]
    assert reply.json["paths"]["/healthz"]["servers"] == [{"url": "/"}]
    assert sum(len(item.keys() - {"servers"}) for item in reply.json["paths"].values()) == len(ROUTES) + len(
        HTTP_TABLE.routes
    )
    assert reply.json["paths"]["/api/v1/push"]["servers"] == [{"url": "/"}]
    assert (await site.ask("GET", "/openapi.json")).status == 404


def test_a_protocol_that_is_off_is_left_out() -> None:
    whole, part = (json.loads(ApiDocuments("", tags).openapi) for tags in (["jwp"], []))
    assert whole["paths"].keys() - part["paths"].keys() == {
        "/api/v1/push",
        "/api/v1/channels",
        "/api/v1/channels/{name}",
        "/api/v1/sockets/{socket_id}/disconnect",
    }
    assert [tag["name"] for tag in whole["tags"] if tag not in part["tags"]] == ["jwp"]
    gone = whole["components"]["schemas"].keys() - part["components"]["schemas"].keys()
    assert {"PushInput", "ApiRefusal", "OccupiedChannel"} <= gone
    assert len(part["paths"]) + 4 == len(whole["paths"])
    assert [error.message for error in OpenAPIV31SpecValidator(part).iter_errors()] == []
    assert "jwp" not in ApiDocuments("", []).page.decode().lower()


async def test_without_a_prefix_it_is_at_the_top(site: Site) -> None:
    assert (await site.ask("GET", "/openapi.json")).json["servers"] == [{"url": "/"}]


async def test_the_page_shows_everything(make_site: SiteMaker) -> None:
    site = await make_site(http=HttpSettings(api_prefix="/api"))
    description = (await site.ask("GET", "/api/openapi.json")).json
    reply = await site.ask("GET", "/api/docs")
    assert reply.headers["Content-Type"] == "text/html; charset=utf-8"
    page = Page(reply.body.decode())
    assert page.open == []
    assert len(set(page.ids)) == len(page.ids)
    operations = [item[method] for item in description["paths"].values() for method in item.keys() - {"servers"}]
    assert {operation["operationId"] for operation in operations} <= set(page.ids)
    assert {f"schema-{name}" for name in description["components"]["schemas"]} <= set(page.ids)
    inner = {link[1:] for link in page.links if link.startswith("#")}
    assert inner <= set(page.ids)
    assert [link for link in page.links if not link.startswith("#")] == ["/api/openapi.json"]


async def test_the_page_can_run_and_load_nothing(site: Site) -> None:
    reply = await site.ask("GET", "/docs")
    text = reply.body.decode()
    page = Page(text)
    assert not page.tags & {"script", "img", "iframe", "object", "embed", "link", "form", "base"}
    assert not {name for name in page.attributes if name.startswith("on") or name in ("style", "src")}
    policy = dict(part.split(" ", 1) for part in reply.headers["Content-Security-Policy"].split("; "))
    style = re.search(r"<style>(.*?)</style>", text, re.DOTALL)
    assert style is not None
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert policy == {
        "default-src": "'none'",
        "style-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
        "frame-ancestors": "'none'",
    }
    assert reply.headers["X-Content-Type-Options"] == "nosniff"


async def test_nobody_needs_to_be_known_for_it(site: Site) -> None:
    for path in ("/docs", "/openapi.json"):
        assert (await site.ask("GET", path, token="none")).status == 200


def test_whatever_is_described_stays_text() -> None:
    evil = '<script>alert(1)</script> & `<b>`\n\n"'
    shown = prose(evil) + kind_of({"enum": [evil]}) + kind_of({"const": evil}) + kind_of({"$ref": f"#/{evil}"})
    shown += kind_of({"type": "string", "format": evil, "default": evil})
    assert "<script" not in shown
    assert "<b>" not in shown


@pytest.mark.parametrize(
    ("schema", "shown"),
    [
        ('{"type": "string"}', "string"),
        ('{"type": ["string", "null"]}', "string or null"),
        ('{"type": "array", "items": {"type": "integer"}}', "list of integer"),
        ('{"$ref": "#/components/schemas/User"}', '<a href="#schema-User">User</a>'),
        ('{"enum": ["a", null, true]}', "<code>a</code> or <code>null</code> or <code>true</code>"),
        (
            '{"type": "integer", "minimum": 1, "maximum": 9, "default": 2}',
            "integer <small>(from 1, to 9, by default 2)</small>",
        ),
        ('{"anyOf": [{"type": "string"}, {"type": "null"}]}', "string or null"),
        ("{}", "anything"),
    ],
)
def test_kinds_in_words(schema: str, shown: str) -> None:
    assert kind_of(json.loads(schema)) == shown
