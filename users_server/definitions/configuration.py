"""``config.schema.json``, which gives editors completion, and the documents that are made from the same schema."""

from __future__ import annotations

from typing import Any

from marshmallow import fields

from users_server import __version__
from users_server.config import ConfigSchema, configuration_document, example_config
from users_server.core.messages import JSON
from users_server.definitions.files import NOTICE, to_json
from users_server.definitions.shapes import DIALECT, SchemaClass, Shapes
from users_server.schemas.settings import Setting


def config_schema() -> bytes:
    """The file. It accepts whatever the server accepts; some mistakes, such as a bad pattern, only the server sees."""
    shapes = Shapes("#/$defs/", name_of=_section_name, attributes=(_examples,))
    top = shapes.inline(ConfigSchema)
    about = {
        "$schema": DIALECT,
        "title": "config.json of users-server",
        "description": f"The configuration of users-server {__version__}. {NOTICE}",
    }
    return to_json({**about, **{key: top[key] for key in top if key not in about}, "$defs": shapes.collected})


def documents() -> dict[str, bytes]:
    """The example and the documentation, by their paths from the top of the repository."""
    return {
        "config.example.json": example_config().encode(),
        "docs/configuration.md": configuration_document().encode(),
    }


def _section_name(schema: SchemaClass) -> str:
    return schema.__name__.removesuffix("Section")


def _examples(_converter: Any, field: fields.Field[Any], **_: Any) -> dict[str, JSON]:
    if isinstance(field, Setting) and field.instance != field.default:
        return {"examples": [field.instance]}
    return {}
