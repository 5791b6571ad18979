"""Which origins each app lets in."""

from __future__ import annotations

import structlog

from users_server.core.apps import App
from users_server.services.origins import InvalidPattern, OriginPolicy

log = structlog.stdlib.get_logger(__name__)

MOST_REMEMBERED = 1_000
"""Sets of patterns that are kept compiled; beyond it the oldest is forgotten."""


class AppOrigins:
    """
    Approves origins by an app's own patterns.

    Args:
        configured: For an app that has none.
    """

    def __init__(self, configured: OriginPolicy) -> None:
        self._configured = configured
        self._policies: dict[tuple[str, ...], OriginPolicy | None] = {}

    def approves(self, app: App, origin: str | None) -> bool:
        """
        Whether a page of ``origin`` may connect to ``app``.

        An app whose patterns cannot be used, which no command lets into the store, approves nothing.
        """
        if not app.allowed_origins:
            return self._configured.approves(origin)
        try:
            policy = self._policies[app.allowed_origins]
        except KeyError:
            policy = self._compile(app)
        return policy is not None and policy.approves(origin)

    def _compile(self, app: App) -> OriginPolicy | None:
        policy: OriginPolicy | None = None
        try:
            policy = OriginPolicy(app.allowed_origins)
        except InvalidPattern as error:
            log.warning("an app's allowed origins cannot be used", app=app.id, error=error.message)
        if len(self._policies) >= MOST_REMEMBERED:
            del self._policies[next(iter(self._policies))]
        self._policies[app.allowed_origins] = policy
        return policy
