"""Whether the server is well. For whoever operates it: nobody is identified, and nothing secret is said."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import structlog

from users_server.errors import BackendError
from users_server.web.route import Answer, BareAnswer, Call

logger = structlog.stdlib.get_logger(__name__)

CHECK_TIMEOUT_SECONDS = 5.0


async def health(_call: Call) -> Answer:
    """The event loop turns; that is all."""
    return Answer()


async def ready(call: Call) -> Answer:
    checks = call.context.checks
    results = await asyncio.gather(*(is_well(name, check) for name, check in checks.items()))
    outcome = {name: "ok" if is_ok else "failed" for name, is_ok in zip(checks, results, strict=True)}
    if all(results):
        return Answer({"checks": outcome})
    return Answer({"checks": outcome}, message="The server is not ready", status=503)


async def metrics(call: Call) -> BareAnswer:
    return BareAnswer(*call.context.metrics.render(call.accept))


async def is_well(name: str, check: Callable[[], Awaitable[None]]) -> bool:
    """Whether ``check`` returns in time. A backend that is away is no news here; anything else is logged."""
    try:
        async with asyncio.timeout(CHECK_TIMEOUT_SECONDS):
            await check()
    except (BackendError, TimeoutError):
        return False
    except Exception:
        logger.exception("Unexpected error in a readiness check", check=name)
        return False
    return True
