"""What is said in a protocol and how one gets in, as data: its definitions are made from this, and nothing else is."""

from __future__ import annotations

import enum
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from marshmallow import Schema

SchemaClass: TypeAlias = type[Schema]


class CredentialPlace(enum.Enum):
    """Where in a handshake it stands who one is."""

    QUERY = "query"
    HEADER = "header"
    COOKIE = "cookie"
    BEARER = "bearer"
    BASIC = "basic"


@dataclass(frozen=True, slots=True)
class Credential:
    """
    One way to say who one is, for the definitions.

    Attributes:
        name: What it is called there.
        key: Of the query, the header or the cookie; empty where ``place`` says it all.
        help: One sentence.
    """

    name: str
    place: CredentialPlace
    key: str
    help: str


@dataclass(frozen=True, slots=True)
class Message:
    """
    One shape on the wire, for the definitions. The definitions of a protocol have each ``name`` once.

    Attributes:
        type: What stands in the field that tells messages apart. :obj:`None`: for what the server sends, any word that
            no other line has; for what a client sends, there is no such field.
        schema: All other fields.
        help: One sentence.
        answer: The name of the message that the sender of this one gets for it; empty for none.
    """

    name: str
    type: str | None
    schema: SchemaClass
    help: str
    answer: str = ""


@dataclass(frozen=True, slots=True)
class MessageTable:
    """
    Everything that is said in a protocol, and how one gets in: what its definitions are made from.

    Attributes:
        about: What a client must know beside the messages, as Markdown.
        type_field: What tells the messages of the server apart.
        server: What clients receive.
        client: What clients may send.
        query: The shape of the handshake's query.
        parameters: What stands in the place of each ``:name`` of the paths.
        close_codes: Reason of a :class:`Disconnect` to the code; total.
    """

    about: str
    type_field: str
    server: Sequence[Message]
    client: Sequence[Message]
    query: SchemaClass
    parameters: Mapping[str, str]
    credentials: Sequence[Credential]
    close_codes: Mapping[str, int]


def message_name(message_type: str) -> str:
    """``connectOther`` as ``ConnectOther``: the name of a message whose type says what it is."""
    return message_type[:1].upper() + message_type[1:]
