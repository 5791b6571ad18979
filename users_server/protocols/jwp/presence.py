"""Who is in a channel, as Phoenix.Presence tells it. Pure functions."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterable

from users_server.core.messages import JSON, Member

UNSAFE_KEYS = frozenset(
    {
        "__defineGetter__",
        "__defineSetter__",
        "__lookupGetter__",
        "__lookupSetter__",
        "__proto__",
        "constructor",
        "hasOwnProperty",
        "isPrototypeOf",
        "propertyIsEnumerable",
        "toLocaleString",
        "toString",
        "valueOf",
    }
)
"""What every JavaScript object has: as keys of a presence they break phoenix.js before 1.8, or change the page."""


def meta_of(member: Member) -> dict[str, JSON]:
    """What the others are told about one connection. ``phx_ref`` tells it from the user's other ones."""
    info = member.info if isinstance(member.info, dict) else {}
    return {**info, "phx_ref": member.ref or _ref_of(member.connection_id)}


def presence_of(members: Iterable[Member]) -> dict[str, JSON]:
    """``{"user:1": {"metas": [{"phx_ref": …}, …]}}``, each user's connections in the order in which they came."""
    keys: dict[str, JSON] = {}
    for member in members:
        if member.user_id not in UNSAFE_KEYS:
            keys.setdefault(member.user_id, {"metas": []})["metas"].append(meta_of(member))
    return keys


def diff_of(member: Member, *, is_join: bool) -> dict[str, JSON] | None:
    """``{"joins": …, "leaves": …}`` for one that came or went; :obj:`None` for one that is never told of."""
    changed = presence_of((member,))
    if not changed:
        return None
    return {"joins": changed, "leaves": {}} if is_join else {"joins": {}, "leaves": changed}


def _ref_of(connection_id: str) -> str:
    """For a member of another protocol, which has no ref: always the same 16 characters."""
    return base64.urlsafe_b64encode(hashlib.sha256(connection_id.encode()).digest()[:12]).decode()
