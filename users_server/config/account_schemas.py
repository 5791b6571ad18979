"""The sections of config.json about mail, the keys that are sent by mail, and captchas."""

from __future__ import annotations

from collections.abc import Iterator

from users_server.schemas import forms
from users_server.schemas.settings import Choice, Conflict, Group, Number, Section, Text, Whole, section
from users_server.services.account_settings import (
    AccountKeySettings,
    CaptchaSettings,
    MailLimits,
    MailSettings,
    SmtpSettings,
)
from users_server.services.captcha import VERIFY_URLS
from users_server.services.validation import is_email

MOST = 100_000_000
LONGEST_SECONDS = 31_536_000
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_SERVER = "the name or IP address of a mail server"


@section(SmtpSettings)
class SmtpSection(Section):
    host = Text("The mail server", _SERVER, accepts=lambda text: bool(text) and forms.is_host(text))
    port = Whole("Its port: usually 587 for starttls, 465 for tls, 25 for none", 1, 65_535)
    security = Choice(
        "starttls: encrypt or send nothing; tls: encrypt from the first byte; none: never encrypt",
        ("starttls", "tls", "none"),
    )
    username = Text("The name to log in with; empty for no login")
    password = Text("The password of the login", is_secret=True)
    certificate_authority = Text(
        "A PEM file of the authorities to trust, relative to config.json; empty for those of the system",
        "the path of a PEM file",
        instance="authority.pem",
    )
    timeout_seconds = Number("How long each answer of the mail server may take", 600, above=True)

    def conflicts(self, settings: SmtpSettings) -> Iterator[Conflict]:
        if settings.username and settings.security == "none" and settings.host not in _LOOPBACK:
            hint = 'Write "starttls" or "tls", else the password can be read on the way'
            yield "security", '"starttls" or "tls" where there is a login', hint
        if settings.password and not settings.username:
            yield "username", "a name where there is a password", "Write the name of the login, or no password"


@section(MailLimits)
class MailLimitsSection(Section):
    per_recipient = Whole("Mails to one address within the window that its owner may not want; 0 for no limit", 0, MOST)
    per_address = Whole("Mails within the window that requests from one IP address may cause; 0 for no limit", 0, MOST)
    window_seconds = Whole("The window", 1, 86_400)
    max_entries = Whole("How many recipients, and how many IP addresses, are remembered", 1, MOST)


@section(MailSettings)
class MailSection(Section):
    transport = Choice(
        "console: print mails, for development; smtp: send them; file: write them to mail.folder; none: refuse what "
        "needs mail",
        ("console", "smtp", "file", "none"),
    )
    sender = Text("The address that mails come from", "an email address", accepts=is_email, data_key="from")
    sender_name = Text(
        "The name beside it, and how mails call this site",
        "a line of 1 to 100 characters",
        accepts=lambda text: 1 <= len(text) <= 100,
        data_key="fromName",
    )
    webmaster = Text(
        "Who gets the messages to the webmaster; empty for the address of adminUser",
        '"" or an email address',
        accepts=lambda text: not text or is_email(text),
        instance="support@example.com",
    )
    folder = Text("Where the transport file writes, relative to config.json", "the path of a folder", pattern=r"^.+$")
    templates = Text(
        "A folder of templates that replace our own of the same name, relative to config.json; empty for none",
        '"" or the path of a folder',
        instance="templates",
    )
    max_waiting = Whole("How many mails may wait; what would need one more is refused", 1, 1_000_000)
    workers = Whole("How many mails are sent at once", 1, 1_000)
    max_attempts = Whole("How often sending is tried", 1, 1_000)
    retry_seconds = Number("The pause before the second try; each further one is twice as long", 86_400, above=True)
    max_retry_seconds = Number("The longest pause between two tries", 86_400, above=True)
    smtp = Group(SmtpSection, "The mail server of the transport smtp")
    limits = Group(MailLimitsSection, "Brakes on mail that strangers cause")

    def conflicts(self, settings: MailSettings) -> Iterator[Conflict]:
        if settings.max_retry_seconds < settings.retry_seconds:
            expected = f"at least mail.retrySeconds ({settings.retry_seconds:g})"
            yield "maxRetrySeconds", expected, "Raise it, or lower mail.retrySeconds"


@section(AccountKeySettings)
class AccountKeysSection(Section):
    activation_seconds = Whole("How long an activation link is valid", 1, LONGEST_SECONDS)
    password_reset_seconds = Whole("How long a key for a new password is valid", 1, LONGEST_SECONDS)
    email_change_seconds = Whole("How long a link that confirms a new address is valid", 1, LONGEST_SECONDS)


@section(CaptchaSettings)
class CaptchaSection(Section):
    provider = Choice("Who verifies the captcha of a registration; none for no captcha", ("none", *VERIFY_URLS))
    secret = Text("The secret key that the provider gave", is_secret=True)
    verify_url = Text(
        "Where the provider verifies; empty for its own address",
        '"" or a URL that begins with http:// or https://',
        accepts=forms.is_web_url,
        instance=VERIFY_URLS["hcaptcha"],
        data_key="verifyURL",
    )
    min_score = Number("The least score that is taken of a provider that gives scores, such as reCAPTCHA v3", 1)
    timeout_seconds = Number("How long the provider may take", 600, above=True)
    max_waiting = Whole("How many registrations may wait for the provider", 1, 1_000_000)

    def conflicts(self, settings: CaptchaSettings) -> Iterator[Conflict]:
        if settings.provider != "none" and not settings.secret:
            yield "secret", "the secret key that the provider gave", 'Copy it from the provider, or write "none"'
