"""The services, put together for a server or for one command."""

from __future__ import annotations

from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Protocol

from users_server.config import Config
from users_server.core.clock import Clock
from users_server.core.files import FileStorage
from users_server.core.interfaces import Store
from users_server.core.messages import Notice
from users_server.services.account_observers import AccountObservers
from users_server.services.account_safety import AccountSafety
from users_server.services.apps import AppOwnerObserver, AppService, SecretSealer
from users_server.services.audit import AuditLog
from users_server.services.content import ContentServices, build_content
from users_server.services.content_entries import ApiUrl
from users_server.services.idempotency import IdempotentRequests
from users_server.services.identity import IdentityService
from users_server.services.own_sessions import OwnSessionService
from users_server.services.passwords import PasswordService
from users_server.services.personal_data import PersonalDataService
from users_server.services.personal_sources import OwnedApps, OwnedBuckets
from users_server.services.sessions import SessionService
from users_server.services.throttle import LoginThrottle
from users_server.services.tokens import TokenService
from users_server.services.user_events import PublishesEvents, UserEventPublisher
from users_server.services.users import UserService
from users_server.services.webhooks import WebhookDeliveryService


class TellsNodes(PublishesEvents, Protocol):
    """The part of the core's node that the services use."""

    def notify(self, notice: Notice) -> Awaitable[None]:
        """Bring ``notice`` to every node. Awaiting raises :class:`BrokerUnavailable`."""


@dataclass(frozen=True, slots=True)
class Services:
    """Everything that protocols, routes and commands call."""

    passwords: PasswordService
    sessions: SessionService
    tokens: TokenService
    identities: IdentityService
    users: UserService
    apps: AppService
    observers: AccountObservers
    safety: AccountSafety
    content: ContentServices
    idempotency: IdempotentRequests
    webhook_deliveries: WebhookDeliveryService


def build_services(
    config: Config, store: Store, node: TellsNodes, clock: Clock, storage: FileStorage, api_url: ApiUrl
) -> Services:
    """Raises :class:`ConfigError` for token keys or encryption keys that cannot be used."""
    events = UserEventPublisher(node)
    passwords = PasswordService(config.passwords)
    sessions = SessionService(store, events, node, config.session, clock)
    tokens = TokenService(config.tokens, clock)
    throttle = LoginThrottle(store, config.login_limits, clock)
    audit = AuditLog(store, config.audit, clock)
    observers = AccountObservers()
    users = UserService(
        store,
        passwords,
        sessions,
        events,
        throttle,
        clock,
        max_meta_bytes=config.http.max_meta_bytes,
        observers=observers,
        audit=audit,
    )
    identities = IdentityService(store, sessions, tokens, config.websocket.socket_api_key)
    apps = AppService(store, SecretSealer(config.apps), config.apps, clock, node.notify, store.forget_app_deliveries)
    observers.add(AppOwnerObserver(apps))
    content = build_content(store, storage, events, config.files, clock, api_url)
    observers.add(content.buckets)
    observers.add(audit)
    personal_data = PersonalDataService(users, sessions, audit, clock)
    personal_data.add(OwnedApps(store))
    personal_data.add(OwnedBuckets(store, api_url))
    safety = AccountSafety(audit, throttle, OwnSessionService(users, sessions, audit), personal_data)
    idempotency = IdempotentRequests(store, clock, config.idempotency)
    deliveries = WebhookDeliveryService(store, apps, clock)
    return Services(
        passwords, sessions, tokens, identities, users, apps, observers, safety, content, idempotency, deliveries
    )
