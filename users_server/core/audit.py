"""The record of a security event, as the stores keep it. Times are milliseconds since 1970."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field

from users_server.core.messages import JSON


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """
    One thing that happened: who did what to whom, from where, and when. It holds no secret.

    Attributes:
        id: 24 hex digits that grow with ``at``, so that the order of the ids is that of the events.
        action: A word such as ``login`` or ``account_removed`` (:class:`users_server.services.audit.Action`).
        user_id: Whom it is about; empty where nobody knows, as for a login under an unknown name.
        username: The same for people; of a failed login the name as it was given.
        by_id: Who did it; empty for an anonymous client, for a service and for the server itself.
        by_name: The same for people; ``server`` for the server itself and its command line.
        address: Of the client that asked for it.
        user_agent: As that client calls itself.
        details: A few plain values that belong to the action.
    """

    id: str
    at: int
    action: str
    user_id: str = ""
    username: str = ""
    by_id: str = ""
    by_name: str = ""
    address: str = ""
    user_agent: str = ""
    details: Mapping[str, JSON] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AuditQuery:
    """
    Which entries. An empty text, and :obj:`None`, ask for all.

    Attributes:
        user_id: About this account, or done by it.
        name: The same by name, without case; with ``user_id`` either of the two is enough.
        action: Of this action.
        address: From this address.
        since: At or after.
        until: Before.
    """

    user_id: str = ""
    name: str = ""
    action: str = ""
    address: str = ""
    since: int | None = None
    until: int | None = None


def make_audit_id(at: int) -> str:
    """An id for an entry of this moment; no two are the same, and within a millisecond the order is by chance."""
    return f"{at:012x}{secrets.token_hex(6)}"
