"""The messages of the Users Socket API, each from its line of the event table."""

from __future__ import annotations

import enum
from dataclasses import dataclass

from users_server.definitions.shapes import JsonSchema, SchemaClass, Shapes
from users_server.protocols.base import Direction, Event
from users_server.protocols.users import handlers
from users_server.protocols.users.events import EVENTS


class Sender(enum.Enum):
    """Who may send a message; the value is said in the definitions."""

    SERVER = "Sent by the server."
    CLIENT = "Any client may send it."
    TRUSTED = "Only a trusted connection may send it: one with the API key, or with a token of the scope events:emit."


@dataclass(frozen=True, slots=True)
class Message:
    """One shape on the wire. What the server sends is called an event, what it takes an input."""

    event: Event
    sender: Sender

    @property
    def name(self) -> str:
        return self.event.name + ("Event" if self.sender is Sender.SERVER else "Input")

    @property
    def schema(self) -> SchemaClass:
        return self.event.output if self.sender is Sender.SERVER else self.event.input


def server_messages() -> list[Message]:
    """What a client receives, in the order of the table."""
    return [Message(event, Sender.SERVER) for event in EVENTS]


def client_messages() -> list[Message]:
    """What a client may send: first what any client may, then what only a trusted one may."""
    both = [Message(event, Sender.CLIENT) for event in EVENTS if event.direction is Direction.BOTH]
    return both + [Message(event, Sender.TRUSTED) for event in EVENTS if event.handler is handlers.emit]


def shape_of(message: Message, shapes: Shapes) -> JsonSchema:
    """The whole JSON object, ``eventType`` included, which the event's own schema leaves to the table."""
    fields = shapes.inline(message.schema)
    number = {"description": message.event.name, "type": "integer", "const": message.event.type}
    return {
        "title": message.name,
        "description": f"{message.event.help}.\n\n{message.sender.value}",
        "type": "object",
        "properties": {"eventType": number, **fields["properties"]},
        "required": ["eventType", *fields.get("required", [])],
    }
