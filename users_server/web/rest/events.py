"""Events from internal services, which have no socket open."""

from __future__ import annotations

from users_server.errors import ClientError, InvalidPayload
from users_server.web.route import Answer, Call


async def emit_events(call: Call) -> Answer:
    """One after the other; the first that is refused ends it, and the answer says where."""
    body = call.body
    if not isinstance(body, list):
        await call.context.emit(call.identity, body)
        return Answer({"emitted": 1}, {"count": 1})
    for index, event in enumerate(body):
        try:
            await call.context.emit(call.identity, event)
        except ClientError as error:
            details = error.messages if isinstance(error, InvalidPayload) else {"_schema": [error.message]}
            raise InvalidPayload({str(index): details}, f"Event {index} was refused: {error.message}") from None
    return Answer({"emitted": len(body)}, {"count": len(body)})
