"""``openapi.json`` as the judge of answers."""

from __future__ import annotations

import json
from functools import cache
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from tests.web.site import Reply
from users_server.web.routes import Route


@cache
def document() -> dict[str, Any]:
    """The committed one."""
    found = json.loads((Path(__file__).parents[2] / "definitions" / "openapi.json").read_text(encoding="utf-8"))
    assert isinstance(found, dict)
    return found


def check(route: Route, reply: Reply) -> None:
    """Fail unless the answer is one that the document describes for ``route``: status, type, headers and content."""
    path = "/".join(f"{{{part[1:]}}}" if part.startswith(":") else part for part in route.path.split("/"))
    responses = document()["paths"][path][route.method.lower()]["responses"]
    assert str(reply.status) in responses, (reply, list(responses))
    response = responses[str(reply.status)]
    if "$ref" in response:
        response = document()["components"]["responses"][response["$ref"].rpartition("/")[2]]
    needed = {name for name, header in response.get("headers", {}).items() if header.get("required")}
    assert needed <= set(reply.headers), (needed, reply)
    content = response.get("content", {})
    if not content:
        assert reply.body == b""
        return
    media_type = reply.headers["Content-Type"].partition(";")[0]
    described = content.get(media_type, content.get("*/*"))
    assert described is not None, (media_type, list(content))
    if media_type == "application/json" and described.get("schema"):
        validator(described["schema"]).validate(reply.json)


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    """Of a schema of the document. Fields that it does not have are refused too, if it describes any."""
    components = {"components": document()["components"]}
    return Draft202012Validator({**components, **schema, "unevaluatedProperties": False})
