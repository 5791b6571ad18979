"""What people do with their own accounts by mail, put together."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

from users_server.core.clock import Clock
from users_server.core.interfaces import Store
from users_server.services.account_mailer import AccountMailer
from users_server.services.account_observers import AccountObservers
from users_server.services.account_settings import AccountKeySettings, CaptchaSettings, MailSettings
from users_server.services.captcha import CaptchaService, Posts
from users_server.services.email_change import EmailChangeService
from users_server.services.links import Links
from users_server.services.mail import (
    ConsoleTransport,
    FileTransport,
    MailQueue,
    MailTemplates,
    MailTransport,
    SmtpTransport,
)
from users_server.services.one_time_keys import OneTimeKeys
from users_server.services.origins import OriginPolicy
from users_server.services.password_reset import PasswordResetService
from users_server.services.passwords import PasswordService
from users_server.services.registration import RegistrationService
from users_server.services.sessions import SessionService
from users_server.services.user_events import UserEventPublisher
from users_server.services.users import UserService
from users_server.services.webmaster import WebmasterService


@dataclass(frozen=True, slots=True)
class FlowSettings:
    """
    What the flows need of the configuration.

    Args:
        api_url: Tells where the API is for browsers, with its prefix and without a slash at the end.
        webmaster: Who gets the messages to the webmaster where the mail settings name nobody.
    """

    api_url: Callable[[], str]
    mail: MailSettings = field(default_factory=MailSettings)
    keys: AccountKeySettings = field(default_factory=AccountKeySettings)
    captcha: CaptchaSettings = field(default_factory=CaptchaSettings)
    account_redirect_url: str = ""
    password_reset_url: str = ""
    webmaster: str = "admin@localhost.localdomain"
    max_meta_bytes: int = 65_536


@dataclass(frozen=True, slots=True)
class FlowParts:
    """The services that the flows work with."""

    store: Store
    passwords: PasswordService
    sessions: SessionService
    users: UserService
    events: UserEventPublisher
    observers: AccountObservers
    origins: OriginPolicy
    client: Posts
    clock: Clock


@dataclass(frozen=True, slots=True)
class AccountFlows:
    """Registration, new passwords, new addresses, and messages to the webmaster."""

    registration: RegistrationService
    password_reset: PasswordResetService
    email_change: EmailChangeService
    webmaster: WebmasterService
    links: Links
    queue: MailQueue


def build_flows(parts: FlowParts, settings: FlowSettings, *, console: TextIO | None = None) -> AccountFlows:
    """
    The flows; keys of accounts that are removed go with them. ``queue`` must be stopped at the end.

    Args:
        console: Where the console transport prints; by default standard output.

    Raises:
        ConfigError: If a template or a file of the mail settings cannot be used.
    """
    mail = settings.mail
    keys = OneTimeKeys(parts.store, parts.clock)
    parts.observers.add(keys)
    queue = MailQueue(make_transport(mail, console or sys.stdout), mail, parts.clock)
    templates = MailTemplates(mail.sender_name, Path(mail.templates) if mail.templates else None)
    links = Links(settings.api_url, settings.account_redirect_url, settings.password_reset_url, parts.origins)
    mailer = AccountMailer(queue, templates, links, settings.keys, mail.limits, parts.clock)
    registration = RegistrationService(
        parts.store,
        parts.passwords,
        keys,
        mailer,
        CaptchaService(settings.captcha, parts.client),
        parts.events,
        parts.observers,
        parts.clock,
        activation_seconds=settings.keys.activation_seconds,
        max_meta_bytes=settings.max_meta_bytes,
    )
    password_reset = PasswordResetService(
        parts.store,
        parts.users,
        parts.passwords,
        parts.sessions,
        keys,
        mailer,
        key_seconds=settings.keys.password_reset_seconds,
    )
    email_change = EmailChangeService(
        parts.store, parts.users, keys, mailer, key_seconds=settings.keys.email_change_seconds
    )
    webmaster = WebmasterService(mailer, mail.webmaster or settings.webmaster)
    return AccountFlows(registration, password_reset, email_change, webmaster, links, queue)


def make_transport(settings: MailSettings, console: TextIO) -> MailTransport | None:
    """The configured way out; :obj:`None` for none."""
    match settings.transport:
        case "smtp":
            return SmtpTransport(settings.smtp)
        case "file":
            return FileTransport(Path(settings.folder))
        case "console":
            return ConsoleTransport(console)
        case _:
            return None
