"""The shipped description, as the clients of one server need it."""

from __future__ import annotations

import base64
import hashlib
from functools import cached_property
from importlib.resources import files
from typing import Any

import orjson

from users_server.schemas.json_text import encode
from users_server.web.documents.page import render

_HERE = "users_server.web.documents"


class ApiDocuments:
    """
    The description and the page, made when somebody asks for them first.

    Args:
        prefix: ``http.apiPrefix`` as it is used: with a slash before and none behind, or empty.
    """

    def __init__(self, prefix: str) -> None:
        self._prefix = prefix

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
        document["servers"] = [{"url": self._prefix or "/"}]
        for item in document["paths"].values():
            if "servers" in item:
                item["servers"] = [{"url": "/"}]
        return document


def _read(name: str) -> bytes:
    return files(_HERE).joinpath(name).read_bytes()
