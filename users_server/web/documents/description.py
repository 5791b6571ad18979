"""The shipped description, as the clients of one server need it."""

from __future__ import annotations

import base64
import hashlib
import re
from collections.abc import Iterable
from functools import cached_property
from importlib.resources import files
from typing import Any

import orjson

from users_server.schemas.json_text import encode
from users_server.web.documents.page import render

_HERE = "users_server.web.documents"
_REFERENCE = re.compile(rb'"#/components/schemas/([^"]+)"')


class ApiDocuments:
    """
    The description and the page, made when somebody asks for them first.

    Args:
        prefix: ``http.apiPrefix`` as it is used: with a slash before and none behind, or empty.
        protocols: The tags of those protocols with an HTTP API that this server speaks; others are left out.
    """

    def __init__(self, prefix: str, protocols: Iterable[str] = ()) -> None:
        self._prefix = prefix
        self._protocols = frozenset(protocols)

    @cached_property
    def openapi(self) -> bytes:
        """OpenAPI 3.1 with this server as the only one, wherever its clients find it."""
        return encode(self._document)

    @cached_property
    def page(self) -> bytes:
        """A page in HTML that is complete: it has no script, and loads nothing."""
        return render(self._document, style=self._style, address=f"{self._prefix}/openapi.json").encode()

    @cached_property
    def page_policy(self) -> str:
        """The Content-Security-Policy of :attr:`page`: its own style, and nothing else at all."""
        digest = base64.b64encode(hashlib.sha256(self._style.encode()).digest()).decode()
        nothing = "; ".join(f"{kind} 'none'" for kind in ("default-src", "base-uri", "form-action", "frame-ancestors"))
        return f"{nothing}; style-src 'sha256-{digest}'"

    @cached_property
    def _style(self) -> str:
        return _read("docs.css").decode()

    @cached_property
    def _document(self) -> dict[str, Any]:
        document: dict[str, Any] = orjson.loads(_read("openapi.json"))
        _keep_protocols(document, self._protocols)
        document["servers"] = [{"url": self._prefix or "/"}]
        for item in document["paths"].values():
            if "servers" in item:
                item["servers"] = [{"url": "/"}]
        return document


def _keep_protocols(document: dict[str, Any], protocols: frozenset[str]) -> None:
    """Leave out what belongs to other protocols, and the schemas that nothing needs then."""
    paths = document["paths"]
    for path in [path for path, item in paths.items() if not _protocols_of(item) <= protocols]:
        del paths[path]
    tags = {tag for item in paths.values() for operation in _operations(item) for tag in operation["tags"]}
    document["tags"] = [tag for tag in document["tags"] if tag["name"] in tags]
    schemas = document["components"]["schemas"]
    needed = set[str]()
    found = _references([paths, document["components"]["responses"]])
    while found:
        needed |= found
        found = _references([schemas[name] for name in found]) - needed
    document["components"]["schemas"] = {name: schema for name, schema in schemas.items() if name in needed}


def _operations(item: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for name, operation in item.items() if name != "servers"]


def _protocols_of(item: dict[str, Any]) -> set[str]:
    return {operation["x-protocol"] for operation in _operations(item) if "x-protocol" in operation}


def _references(value: Any) -> set[str]:
    """The names of the schemas that ``value`` refers to."""
    return {name.decode() for name in _REFERENCE.findall(encode(value))}


def _read(name: str) -> bytes:
    return files(_HERE).joinpath(name).read_bytes()
