"""What an operator may set for registration, its mail and its captcha. :mod:`users_server.config` makes these."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class SmtpSettings:
    """
    Config section ``mail.smtp``. The password is left out of ``repr``.

    Attributes:
        security: ``starttls`` (without it nothing is sent), ``tls`` from the first byte, or ``none``.
        certificate_authority: A PEM file of what to trust instead of the system's authorities.
        timeout_seconds: For each answer of the server; one delivery may take three times as long.
    """

    host: str = "localhost"
    port: int = 587
    security: str = "starttls"
    username: str = ""
    password: str = field(default="", repr=False)
    certificate_authority: str = ""
    timeout_seconds: float = 20.0


@dataclass(frozen=True, slots=True)
class MailLimits:
    """
    Config section ``mail.limits``: how much mail strangers can cause within the window; 0 means no limit.

    ``per_recipient`` counts what goes to one address, ``per_address`` what one client asks for. ``max_entries`` is how
    many of each are remembered.
    """

    per_recipient: int = 10
    per_address: int = 300
    window_seconds: int = 3600
    max_entries: int = 100_000


@dataclass(frozen=True, slots=True)
class MailSettings:
    """
    Config section ``mail``.

    Attributes:
        transport: ``console``, ``smtp``, ``file`` or ``none``.
        sender: The address in From.
        sender_name: The name beside it, and how the mails call this site.
        webmaster: Who gets the messages to the webmaster; empty for the super admin's address.
        folder: Of the file transport.
        templates: A folder whose templates replace those of the same name; empty for none.
        max_waiting: How many mails may be waiting or under way.
        workers: How many are delivered at once.
        max_attempts: How often a delivery is tried before it is given up.
        retry_seconds: The first pause; each is twice as long as the one before, up to ``max_retry_seconds``.
    """

    transport: str = "console"
    sender: str = "users-server@localhost.localdomain"
    sender_name: str = "users-server"
    webmaster: str = ""
    folder: str = "mail"
    templates: str = ""
    max_waiting: int = 1000
    workers: int = 4
    max_attempts: int = 12
    retry_seconds: float = 5.0
    max_retry_seconds: float = 600.0
    smtp: SmtpSettings = field(default_factory=SmtpSettings)
    limits: MailLimits = field(default_factory=MailLimits)


@dataclass(frozen=True, slots=True)
class AccountKeySettings:
    """Config section ``accountKeys``: how long the keys that are sent by mail are valid."""

    activation_seconds: int = 604_800
    password_reset_seconds: int = 3_600
    email_change_seconds: int = 86_400


@dataclass(frozen=True, slots=True)
class CaptchaSettings:
    """
    Config section ``captcha``. The secret is left out of ``repr``.

    Attributes:
        provider: ``none``, ``recaptcha``, ``hcaptcha`` or ``turnstile``.
        verify_url: Where answers are verified; empty for the provider's own address.
        min_score: The least that is taken of a provider that gives scores (reCAPTCHA v3).
        max_waiting: How many verifications may be under way.
    """

    provider: str = "none"
    secret: str = field(default="", repr=False)
    verify_url: str = ""
    min_score: float = 0.5
    timeout_seconds: float = 10.0
    max_waiting: int = 100
