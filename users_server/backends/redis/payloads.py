"""
What travels over Redis.

A message on a channel's Pub/Sub channel is one of

- ``-BODY``: a publication without history,
- ``+OFFSET EPOCH NODE NUMBER BODY``: one with history,
- ``jFLAG VERSION EPOCH MEMBER`` and ``lFLAG VERSION EPOCH MEMBER``: somebody came or went; the flag is 1 for a user.

BODY and MEMBER are JSON arrays. On the control channel, BODY is ``["r", …]`` for a revocation and ``["n", …]`` for a
notice.
"""

from __future__ import annotations

from typing import Any

import orjson

from users_server.core.messages import (
    ClientInfo,
    Member,
    Notice,
    PresenceChange,
    Publication,
    Revocation,
    StreamPosition,
)


def encode_publication(publication: Publication) -> bytes:
    """BODY."""
    by = publication.by
    return orjson.dumps(
        [
            publication.event,
            publication.data,
            None if by is None else [by.connection_id, by.username, by.user_id],
            publication.to_user,
            publication.except_connection,
        ]
    )


def decode_publication(app: str, channel: str, body: bytes, position: StreamPosition | None) -> Publication:
    """From BODY. Raises :class:`ValueError` and its kind if it is none."""
    event, data, by, to_user, except_connection = orjson.loads(body)
    client = None if by is None else ClientInfo(*by)
    return Publication(app, channel, event, data, client, position, to_user, except_connection)


def decode_message(app: str, channel: str, message: bytes) -> Publication:
    """From a message with history."""
    head, epoch, _, _, body = message.split(b" ", 4)
    return decode_publication(app, channel, body, StreamPosition(int(head), epoch.decode()))


def encode_member(member: Member) -> bytes:
    """MEMBER: connection, user, info, and the ref if there is one, which versions without refs cannot read."""
    fields = [member.connection_id, member.user_id, member.info]
    return orjson.dumps([*fields, member.ref] if member.ref else fields)


def decode_member(text: bytes) -> Member:
    """From MEMBER. Raises :class:`ValueError` and its kind if it is none."""
    connection_id, user_id, info, *others = orjson.loads(text)
    return Member(connection_id, user_id, info, others[0] if others else "")


def decode_change(app: str, channel: str, message: bytes) -> PresenceChange:
    """From a message that begins with ``j`` or ``l``."""
    head, version, epoch, member = message.split(b" ", 3)
    if head[:1] not in (b"j", b"l"):
        raise ValueError("not a change of presence")
    return PresenceChange(
        app, channel, decode_member(member), head[:1] == b"j", head[1:] == b"1", int(version), epoch.decode()
    )


def decode_claim(claim: bytes) -> tuple[int, Member]:
    """From a claim: its place in the order of coming, and the member."""
    sequence, _, length, rest = claim.split(b" ", 3)
    return int(sequence), decode_member(rest[int(length) :])


def encode_revocation(revocation: Revocation) -> bytes:
    return orjson.dumps(["r", revocation.user_id, revocation.session_id, revocation.message])


def encode_notice(notice: Notice) -> bytes:
    return orjson.dumps(["n", notice.kind, dict(notice.data)])


def decode_control(body: bytes) -> Revocation | Notice:
    """From BODY on the control channel."""
    kind, *fields = orjson.loads(body)
    if kind == "r":
        return Revocation(*fields)
    name, data = _pair(fields)
    return Notice(name, data)


def _pair(fields: list[Any]) -> tuple[str, dict[str, Any]]:
    name, data = fields
    return name, data
