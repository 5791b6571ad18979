"""What keeps accounts safe and their owners informed, as one part."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from users_server.services.audit import AuditLog
from users_server.services.own_sessions import OwnSessionService
from users_server.services.periodic import PeriodicTask
from users_server.services.personal_data import PersonalDataService
from users_server.services.throttle import LoginThrottle

TRIM_ATTEMPTS_SECONDS = 10.0
TRIM_AUDIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class AccountSafety:
    """The services, and the work that they need done beside all other."""

    audit: AuditLog
    throttle: LoginThrottle
    own_sessions: OwnSessionService
    personal_data: PersonalDataService

    def periodic_tasks(self) -> Sequence[PeriodicTask]:
        """Not started yet. Every node may run them."""
        return (
            PeriodicTask("login-attempts", self.throttle.trim, interval_seconds=TRIM_ATTEMPTS_SECONDS),
            PeriodicTask("audit-retention", self.audit.trim, interval_seconds=TRIM_AUDIT_SECONDS),
        )
