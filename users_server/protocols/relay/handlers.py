"""What a client's message does. A handler returns what shall happen and never writes."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any, TypeAlias

from users_server.core.messages import JSON
from users_server.errors import PermissionDenied
from users_server.protocols.base import Publish
from users_server.protocols.relay.callback import Callback
from users_server.protocols.relay.kinds import KindRule, Passed
from users_server.protocols.relay.tokens import Claims

Result: TypeAlias = Publish | Awaitable[Publish]


@dataclass(frozen=True, slots=True)
class Place:
    """
    Where one connection is, and as whom.

    Attributes:
        max_data_bytes: How large ``data`` may be as JSON; 0 for no limit.
        callback: Who has a say in what is delivered; :obj:`None`: nobody.
    """

    app: str
    claims: Claims
    rule: KindRule
    max_data_bytes: int
    callback: Callback | None


def refuse(event: Any, place: Place, data: dict[str, JSON]) -> Publish:
    """Only the server sends this."""
    raise PermissionDenied("Only the server sends this message")


def send(event: Any, place: Place, data: dict[str, JSON]) -> Result:
    """
    Publish ``data`` in the connection's channel, by the rules of its kind.

    Raises:
        PermissionDenied: If clients do not send there.
        InvalidPayload: If the data has not the kind's shape.
        RefusedByApplication, CallbackFailed: Awaiting raises it, if the callback says no, or nothing.
    """
    place.rule.require_sender()
    passed = place.rule.apply(data)
    if place.callback is None:
        return _publish(event, place, passed)
    return _ask(event, place, data, passed)


async def _ask(event: Any, place: Place, data: dict[str, JSON], passed: Passed) -> Publish:
    assert place.callback is not None  # noqa: S101 - the one caller has looked
    return _publish(event, place, await place.callback.ask(place.app, place.claims, place.rule, data, passed))


def _publish(event: Any, place: Place, passed: Passed) -> Publish:
    return Publish(place.claims.channel, event.type, passed.data, passed.to_user)
