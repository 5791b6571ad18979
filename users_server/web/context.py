"""What the HTTP handlers are given. :mod:`users_server.app` puts it together."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

from users_server.core.clock import Clock, SystemClock
from users_server.core.messages import JSON, Identity
from users_server.core.node import Node
from users_server.services.account_flows import AccountFlows
from users_server.services.account_safety import AccountSafety
from users_server.services.apps import AppService
from users_server.services.content import ContentServices
from users_server.services.identity import IdentityService
from users_server.services.origins import OriginPolicy
from users_server.services.publishing import PublishingService
from users_server.services.sessions import SessionService
from users_server.services.settings import SessionSettings, TokenSettings
from users_server.services.tokens import TokenService
from users_server.services.users import UserService
from users_server.web.documents import ApiDocuments
from users_server.web.metrics import Metrics
from users_server.web.settings import Compatibility, HttpSettings


@dataclass(frozen=True, slots=True)
class HttpContext:
    """
    Everything that a route may use.

    Attributes:
        is_tls: Whether this server itself speaks https, so that the cookie is marked Secure. It is marked so, too, for
            a request that a trusted proxy took by https.
        apps, publishing: The tenants, and what their back ends do with their channels.
        origins: ``http.approvedDomains``.
        emit: Publishes one event of a trusted caller, in the form of the Users Socket API; raises a
            :class:`~users_server.errors.ClientError` for one that the event table does not allow.
        checks: Name to a call that raises if what it stands for is away. For ``/readyz``.
    """

    http: HttpSettings
    session: SessionSettings
    compatibility: Compatibility
    is_tls: bool
    users: UserService
    sessions: SessionService
    identities: IdentityService
    tokens: TokenService
    apps: AppService
    publishing: PublishingService
    node: Node
    origins: OriginPolicy
    emit: Callable[[Identity, dict[str, JSON]], Awaitable[None]]
    checks: Mapping[str, Callable[[], Awaitable[None]]]
    metrics: Metrics
    token_settings: TokenSettings
    flows: AccountFlows
    content: ContentServices
    safety: AccountSafety
    documents: ApiDocuments
    clock: Clock = field(default_factory=SystemClock)

    @property
    def is_webinate(self) -> bool:
        """Whether to be as lenient as the original server (users-http-api.md)."""
        return self.compatibility is Compatibility.WEBINATE
