"""The end of a link in a mail: a page of the operator's that tells a person how it went."""

from __future__ import annotations

from collections.abc import Awaitable

from users_server.core.accounts import User
from users_server.errors import BackendError, ClientError
from users_server.services.audit import Action
from users_server.web.route import Answer, Call, Redirect


async def land(call: Call, work: Awaitable[User], message: str, action: Action) -> Answer | Redirect:
    """
    Do ``work`` and lead to ``accountRedirectURL`` with ``message``, or with that of the error. Success is recorded.

    Without such a page the answer is the usual object, and what ``work`` raises is raised.
    """
    links, origin = call.context.flows.links, call.query["origin"]
    try:
        user = await work
    except (ClientError, BackendError) as error:
        refused = links.landing(error.message, origin, is_error=True)
        if not refused:
            raise
        return Redirect(refused)
    call.context.safety.audit.record(action, user=user, by=call.identity)
    location = links.landing(message, origin, is_error=False)
    return Redirect(location) if location else Answer(message=message)
