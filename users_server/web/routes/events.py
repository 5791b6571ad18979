"""Events from internal services. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.emit import EmitAnswer, EventInput
from users_server.web.rest import events
from users_server.web.route import Route, Who

EVENTS = (
    Route(
        "POST",
        "/events",
        events.emit_events,
        Who.TRUSTED,
        summary="Emit one event to the sockets, or up to 100",
        message="Emitted {count} events",
        tag="events",
        request=EventInput,
        answer=EmitAnswer,
        max_items=100,
    ),
)
