"""``events``: the catalogue of the Users Socket API, from its event table."""

from __future__ import annotations

import inspect
import os
from collections.abc import Iterator
from typing import Any

import click
from marshmallow import Schema, fields

from users_server.protocols.base import Direction, Event
from users_server.protocols.users.events import BY_NAME, BY_TYPE, EVENTS

_TYPES: tuple[tuple[type[fields.Field[Any]], str], ...] = (
    (fields.Boolean, "boolean"),
    (fields.Integer, "integer"),
    (fields.Float, "number"),
    (fields.String, "string"),
    (fields.Dict, "object"),
)


def find_event(name: str) -> Event:
    """The event of this number or name. Raises a usage error, with what there is."""
    names = {str(number): event for number, event in BY_TYPE.items()}
    names.update((known.casefold(), event) for known, event in BY_NAME.items())
    event = names.get(name.casefold())
    if event is None:
        known = ", ".join(f"{event.type} {event.name}" for event in EVENTS)
        raise click.BadParameter(f"no event {name!r}; there are {known}", param_hint="EVENT")
    return event


@click.command()
@click.argument("event", required=False)
def events(event: str | None) -> None:
    """
    List the events, or tell all about one.

    \b
    Examples:
      users-server events
      users-server events 10
      users-server events Echo
    """
    lines = _list() if event is None else _details(find_event(event))
    for line in lines:
        click.echo(line)


def _list() -> Iterator[str]:
    width = max(len(event.name) for event in EVENTS)
    for event in EVENTS:
        direction = "both ways" if event.direction is Direction.BOTH else "to client"
        yield f"{event.type:>3}  {event.name:<{width}}  {direction}  {event.help}"


def _details(event: Event) -> Iterator[str]:
    yield click.style(f"{event.type} {event.name}", bold=True) + f": {event.help}"
    yield f"Direction: {event.direction.value}"
    yield f"Handler:   {_place(event.handler)}"
    by_whom = "a client" if event.direction is Direction.BOTH else "a trusted connection"
    received, sent = list(_fields(event.input(), "  ")), list(_fields(event.output(), "  "))
    yield f"From {by_whom}:"
    yield from received or ["  nothing; only the server sends it"]
    yield "From the server:"
    yield from ["  the same"] if sent == received else sent


def _fields(schema: Schema, indent: str) -> Iterator[str]:
    for name, field in schema.fields.items():
        need = "required" if field.required else "optional"
        null = " or null" if field.allow_none else ""
        text = field.metadata.get("description")
        yield f"{indent}{field.data_key or name}: {_type(field)}{null}, {need}" + (f". {text}" if text else "")
        inner = field.inner if isinstance(field, fields.List) else field
        if isinstance(inner, fields.Nested):
            yield from _fields(inner.schema, indent + "  ")


def _type(field: fields.Field[Any]) -> str:
    if isinstance(field, fields.List):
        return f"array of {_type(field.inner)}"
    if isinstance(field, fields.Nested):
        return "object"
    return next((name for kind, name in _TYPES if isinstance(field, kind)), "any")


def _place(handler: Any) -> str:
    """The handler's ``path:line``, which a terminal or an editor opens, and its name."""
    code = inspect.unwrap(handler)
    file, (_, line) = inspect.getsourcefile(code) or "?", inspect.getsourcelines(code)
    near = os.path.relpath(file)
    return f"{file if near.startswith('..') else near}:{line} ({code.__module__}.{code.__qualname__})"
