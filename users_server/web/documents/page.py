"""
The description as a page: all routes and all shapes, with links between them.

Rule: whatever stands on the page is escaped; nothing of a description is ever taken for HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

from tornado.escape import xhtml_escape
from tornado.template import Template

Json = Mapping[str, Any]

_LITERAL = re.compile(r"`([^`]+)`")
_BOUNDS = (
    ("minimum", "from {}"),
    ("exclusiveMinimum", "over {}"),
    ("maximum", "to {}"),
    ("exclusiveMaximum", "under {}"),
    ("minLength", "at least {} characters"),
    ("maxLength", "at most {} characters"),
    ("minItems", "at least {}"),
    ("maxItems", "at most {}"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a table. ``kind`` is HTML already."""

    name: str
    kind: str
    is_required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One route, as the page shows it. Kinds are HTML already."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    tag: str
    is_deprecated: bool
    security: str
    parameters: list[Row]
    bodies: list[tuple[str, str]]
    responses: list[Row]


def render(document: Json, *, style: str, address: str) -> str:
    """The page of an OpenAPI document, which is found at ``address`` itself."""
    template = files("users_server.web.documents").joinpath("docs.html").read_text(encoding="utf-8")
    operations = list(_operations(document))
    page = Template(template, autoescape="xhtml_escape").generate(
        info=document["info"],
        tags=[tag["name"] for tag in document["tags"]],
        operations=operations,
        schemas={name: list(_properties(schema)) for name, schema in document["components"]["schemas"].items()},
        schema_documents=document["components"]["schemas"],
        security_schemes=document["components"]["securitySchemes"],
        style=style,
        address=address,
        prose=prose,
        kind_of=kind_of,
    )
    return page.decode()


def prose(text: str) -> str:
    """A description as HTML: paragraphs and literals; everything else is text."""
    paragraphs = [_LITERAL.sub(r"<code>\1</code>", xhtml_escape(paragraph)) for paragraph in text.split("\n\n")]
    return "".join(f"<p>{paragraph}</p>" for paragraph in paragraphs if paragraph)


def kind_of(schema: Json) -> str:
    """What a value may be, in a few words of HTML."""
    if "$ref" in schema:
        name = xhtml_escape(schema["$ref"].rpartition("/")[2])
        return f'<a href="#schema-{name}">{name}</a>'
    if "const" in schema:
        return f"<code>{xhtml_escape(repr_json(schema['const']))}</code>"
    if "enum" in schema:
        return " or ".join(f"<code>{xhtml_escape(repr_json(value))}</code>" for value in schema["enum"])
    for keyword, word in (("oneOf", " or "), ("anyOf", " or "), ("allOf", " and ")):
        if keyword in schema:
            return word.join(kind_of(inner) for inner in schema[keyword])
    words = _type_of(schema)
    details = [schema["format"]] if "format" in schema else []
    details += [form.format(schema[keyword]) for keyword, form in _BOUNDS if keyword in schema]
    if "default" in schema:
        details.append(f"by default {repr_json(schema['default'])}")
    return f"{words} <small>({xhtml_escape(', '.join(details))})</small>" if details else words


def repr_json(value: Any) -> str:
    """A value as JSON has it, without the quotes of a text."""
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value) if value != "" else '""'


def _type_of(schema: Json) -> str:
    kinds = schema.get("type", "anything")
    kinds = [kinds] if isinstance(kinds, str) else kinds
    named = [f"list of {kind_of(schema['items'])}" if kind == "array" and "items" in schema else kind for kind in kinds]
    return " or ".join(named)


def _properties(schema: Json) -> Iterator[Row]:
    for part in schema.get("allOf", [schema]):
        required = part.get("required", ())
        for name, inner in part.get("properties", {}).items():
            yield Row(name, kind_of(inner), name in required, inner.get("description", ""))


def _operations(document: Json) -> Iterator[Operation]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if method != "servers":
                yield _operation(document, method, path, operation)


def _operation(document: Json, method: str, path: str, operation: Json) -> Operation:
    body = operation.get("requestBody", {}).get("content", {})
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        tag=operation["tags"][0],
        is_deprecated=operation.get("deprecated", False),
        security=_alternatives(operation.get("security", [])),
        parameters=[
            Row(
                parameter["name"],
                f"{kind_of(parameter['schema'])} <small>in the {parameter['in']}</small>",
                parameter.get("required", False),
                parameter.get("description", ""),
            )
            for parameter in operation.get("parameters", [])
        ],
        bodies=[(media_type, kind_of(content["schema"])) for media_type, content in body.items()],
        responses=[_response(document, status, response) for status, response in operation["responses"].items()],
    )


def _alternatives(requirements: list[dict[str, list[str]]]) -> str:
    """Who may come, in words: the names of the ways of saying who one is."""
    return ", or ".join(" and ".join(requirement) or "none" for requirement in requirements) or "none"


def _response(document: Json, status: str, response: Json) -> Row:
    if "$ref" in response:
        response = document["components"]["responses"][response["$ref"].rpartition("/")[2]]
    kinds = [
        kind_of(content["schema"]) if content.get("schema") else xhtml_escape(media_type)
        for media_type, content in response.get("content", {}).items()
    ]
    return Row(status, " or ".join(kinds), is_required=False, description=response["description"])
