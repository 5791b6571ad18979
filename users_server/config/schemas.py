"""The shape of config.json. Everything that is said about a setting elsewhere is made from here."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from users_server.config.account_schemas import AccountKeysSection, CaptchaSection, MailSection
from users_server.config.channel_schemas import (
    HOW_TO_MAKE_A_KEY,
    AppsSection,
    BrokerSection,
    ChannelsSection,
    ProtocolsSection,
    WorkersSection,
)
from users_server.config.content_schemas import FilesSection
from users_server.config.settings import Config, DatabaseSettings, LoggingSettings
from users_server.config.webhook_schemas import WebhooksSection
from users_server.schemas import forms
from users_server.schemas.settings import (
    Choice,
    Conflict,
    Flag,
    Group,
    ListOf,
    Number,
    Section,
    Text,
    URLPath,
    Whole,
    section,
)
from users_server.services.idempotency import IdempotencySettings
from users_server.services.settings import (
    AdminUser,
    AuditSettings,
    LoginLimits,
    PasswordSettings,
    SessionSettings,
    TokenKey,
    TokenSettings,
)
from users_server.services.validation import is_email, is_username
from users_server.web.settings import Compatibility, HttpSettings, TlsSettings, UserEvents, WebSocketSettings

LARGEST = 1_073_741_824

_LOCAL_ORIGINS = [r"^https?://localhost(:[0-9]+)?$", r"^https?://127\.0\.0\.1(:[0-9]+)?$"]


def _patterns(description: str) -> ListOf:
    item = Text(
        "One pattern; anchor it: ^https://example\\.com$", "text, a regular expression", instance=_LOCAL_ORIGINS[0]
    )
    return ListOf(description, "a list of regular expressions", item, example=_LOCAL_ORIGINS)


def _file(description: str) -> Text:
    return Text(description, "the path of a PEM file", instance="certificate.pem")


def _key_material(description: str, **about: Any) -> Text:
    return Text(description, "PEM text, or the path of a PEM file", is_multiline=True, **about)


@section(HttpSettings)
class HttpSection(Section):
    port = Whole(
        "Where the HTTP API is; 0 takes any free port. The same as websocket.port: both share one port",
        0,
        65_535,
        explain=forms.explain_port,
    )
    api_prefix = Text(
        'What all paths of the API begin with, for instance "/api"; empty for nothing',
        '"" or a path such as "/api", without a slash at its end',
        pattern=r"^((/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+)?$",
        instance="/api",
    )
    approved_domains = _patterns(
        "Regular expressions (RE2); a web page may call the API if one of them is found in its Origin. Pages of the "
        "server's own origin always may"
    )
    trusted_proxies = ListOf(
        "IP addresses of reverse proxies before the server, whose X-Forwarded-For and X-Forwarded-Proto are believed",
        "a list of IP addresses",
        Text("One address", "an IP address", accepts=forms.is_address, instance="10.0.0.1"),
    )
    max_body_bytes = Whole("The largest request body", 1, LARGEST)
    idle_timeout_seconds = Number("How long a kept connection may be silent between requests", 86_400, above=True)
    max_meta_bytes = Whole("The largest meta data of one account, as JSON", 2, LARGEST)
    public_url = Text(
        "Where browsers find this server, without http.apiPrefix, for the links in mails and the public URLs of files; "
        "empty for http://localhost and the port",
        '"" or a URL that begins with http:// or https://',
        accepts=forms.is_web_url,
        instance="https://api.example.com",
        data_key="publicURL",
    )

    def conflicts(self, settings: HttpSettings) -> Iterator[Conflict]:
        if settings.max_meta_bytes > settings.max_body_bytes:
            expected = f"at most http.maxBodyBytes ({settings.max_body_bytes})"
            yield "maxMetaBytes", expected, "Lower it, or raise http.maxBodyBytes"


@section(WebSocketSettings)
class WebSocketSection(Section):
    port = Whole("Where the Users Socket API is; 0 takes any free port", 0, 65_535, explain=forms.explain_port)
    approved_socket_domains = _patterns(
        "Regular expressions (RE2); a socket is accepted if one of them is found in the Origin header of its "
        "handshake. The search is not anchored: without ^ and $ a pattern matches more than you think"
    )
    socket_api_key = Text(
        "Internal services that send it in the header users-api-key are accepted whatever their origin and may emit "
        "user events; empty for none",
        '"" or characters of ASCII without spaces',
        is_secret=True,
        pattern=r"^([!-~]+)?$",
    )
    path = URLPath("The path of the socket")
    max_message_bytes = Whole("The largest message that a client may send", 1, LARGEST)
    send_queue_bytes = Whole(
        "How much may wait to be sent to one client before it is closed as too slow", 1_024, LARGEST
    )
    ping_interval_seconds = Number("How long a client may be silent before it is pinged", 86_400, minimum=0.05)
    ping_timeout_seconds = Number("How long a client may take to answer a ping", 86_400, minimum=0.05)
    messages_per_second = Number("How many messages a second one client may send; 0 for no limit", 1_000_000)
    max_connections = Whole("How many clients at once; 0 for no limit", 0, 10_000_000)
    max_connections_per_address = Whole("How many clients at once from one IP address; 0 for no limit", 0, 10_000_000)
    max_handshakes = Whole("How many handshakes may be under way at once", 1, 1_000_000)
    handshake_timeout_seconds = Number("How long a handshake may take", 3_600, above=True)
    close_timeout_seconds = Number("How long a client may take to answer a close", 3_600, above=True)
    flush_milliseconds = Number(
        "How long broadcasts may be collected to be written together; 0 for one turn of the event loop", 1_000
    )
    compression = Flag("Whether permessage-deflate is negotiated; costs processor time and memory for each client")
    user_events = Choice("Who gets the events of the user service", UserEvents)

    def conflicts(self, settings: WebSocketSettings) -> Iterator[Conflict]:
        if settings.send_queue_bytes < settings.max_message_bytes:
            expected = f"at least websocket.maxMessageBytes ({settings.max_message_bytes})"
            yield "sendQueueBytes", expected, "Raise it, or lower websocket.maxMessageBytes"


@section(DatabaseSettings)
class DatabaseSection(Section):
    url = Text(
        "Where accounts and sessions are kept: sqlite:///FILE (four slashes for an absolute path) or "
        "mongodb://HOST:PORT/NAME",
        '"sqlite:///FILE", "mongodb://…" or "mongodb+srv://…"',
        accepts=forms.is_database_url,
        explain=forms.explain_database,
    )


@section(SessionSettings)
class SessionSection(Section):
    lifetime_seconds = Whole("How long a login lasts after its last use", 1, 315_360_000)
    path = URLPath("Path of the session cookie")
    domain = Text(
        "Domain of the session cookie; empty for the host that set it",
        '"" or a domain name',
        accepts=forms.is_cookie_domain,
        instance="example.com",
    )
    persistent = Flag("Whether the cookie of a login with rememberMe outlives the browser")


@section(TokenKey)
class TokenKeySection(Section):
    kid = Text(
        "The key's name, which tokens carry",
        "a name of 1 to 64 characters out of A-Z a-z 0-9 . _ -",
        pattern=r"^[A-Za-z0-9._-]{1,64}$",
        required=True,
        instance="2025-01",
    )
    algorithm = Choice(
        "How the key signs",
        ("HS256", "RS256", "EdDSA"),
        required=True,
        instance="HS256",
        explain=forms.explain_algorithm,
    )
    secret = Text("HS256: at least 32 bytes", is_secret=True, explain=lambda _: HOW_TO_MAKE_A_KEY)
    public_key = _key_material(
        "RS256 and EdDSA: what verifies; PEM text, or a file beside config.json", instance="public.pem"
    )
    private_key = _key_material(
        "RS256 and EdDSA: what signs, if this server may; PEM text, or a file beside config.json",
        instance="private.pem",
        is_secret=True,
    )


@section(TokenSettings)
class TokensSection(Section):
    keys = ListOf(
        'Keys of the JWTs; the first that can sign signs, all verify; empty for no tokens. One key: {"kid": "2025-01", '
        '"algorithm": "HS256", "secret": "32 bytes or more"}, or with RS256 or EdDSA publicKey and privateKey',
        "a list of keys, each an object",
        Group(TokenKeySection, "One key"),
        is_secret=True,
    )
    issuer = Text("The claim iss of the tokens", "text of at least one character", pattern=r"^.+$")
    audience = Text("The claim aud of the tokens", "text of at least one character", pattern=r"^.+$")
    lifetime_seconds = Whole("How long a token is valid, where nothing else is said", 1, 315_360_000)


@section(AdminUser)
class AdminUserSection(Section):
    username = Text("The super admin, who exists from the first start", "letters and digits", accepts=is_username)
    email = Text("The super admin's address", "an email address", accepts=is_email)
    password = Text(
        "The super admin's first password; empty: one is made at the first start and printed once",
        'a password of your own, or ""',
        accepts=forms.is_not_placeholder,
        explain=forms.explain_placeholder,
        is_secret=True,
    )


@section(LoginLimits)
class LoginLimitsSection(Section):
    failures_per_account = Whole("Failed logins of one account within the window before it has to wait", 1, 1_000_000)
    failures_per_address = Whole("The same for one IP address", 1, 1_000_000)
    window_seconds = Whole("The window", 1, 86_400)
    max_entries = Whole("How many accounts and addresses are remembered", 1, 100_000_000)


@section(AuditSettings)
class AuditSection(Section):
    retention_seconds = Whole("How long an entry of the audit log is kept", 60, 3_153_600_000)
    max_entries = Whole("How many entries are kept; the oldest go first", 1, 1_000_000_000)
    max_waiting = Whole("How many entries may wait for the database before new ones are dropped", 1, 10_000_000)
    flush_seconds = Number("How long an entry may wait for others, to be written together", 60, above=True)


@section(IdempotencySettings)
class IdempotencySection(Section):
    kept_seconds = Whole("How long the answer to a request with an Idempotency-Key is given again", 1, 31_536_000)
    max_keys = Whole("How many keys of one app are kept; the oldest go first", 1, 1_000_000_000)
    abandoned_seconds = Whole(
        "After which a request that was never answered, since its server has died, may be made again", 5, 86_400
    )


@section(PasswordSettings)
class PasswordsSection(Section):
    hash_workers = Whole("Threads that hash passwords; each takes some 64 MiB while it works", 1, 64)
    max_waiting = Whole("How many logins may wait for such a thread before the next is refused", 1, 1_000_000)
    min_length = Whole("The shortest password allowed", 1, 1_000)


@section(TlsSettings)
class TlsSection(Section):
    certificate = _file("PEM file of the certificate and its chain, relative to config.json; empty for no TLS")
    key = _file("PEM file of the certificate's private key, relative to config.json")
    passphrase = Text("What the private key is encrypted with; empty if it is not", is_secret=True)

    def conflicts(self, settings: TlsSettings) -> Iterator[Conflict]:
        if settings.certificate and not settings.key:
            yield "key", "the private key of tls.certificate", 'Write for instance "key": "key.pem"'
        if settings.key and not settings.certificate:
            yield "certificate", "the certificate of tls.key", 'Write for instance "certificate": "certificate.pem"'
        if settings.passphrase and not settings.key:
            yield "passphrase", "no passphrase where there is no tls.key", "Remove it, or set tls.key"


@section(LoggingSettings)
class LoggingSection(Section):
    level = Choice("The least important messages that are logged", ("debug", "info", "warning", "error"))
    format = Choice("console: a line for people; json: one object a line", ("console", "json"))


@section(Config)
class ConfigSchema(Section):
    """config.json."""

    schema_url = Text(
        "The JSON Schema that gives editors completion; the server ignores it",
        data_key="$schema",
        example="definitions/config.schema.json",
    )
    host = Text(
        "Where to listen: localhost is both loopback addresses, empty is all addresses of the machine",
        'a host name, an IP address, or "" for all addresses',
        accepts=forms.is_host,
        explain=forms.explain_host,
    )
    compatibility = Choice(
        "webinate: be as lenient to clients as the original server: answers have status 200, user lists are public",
        Compatibility,
    )
    http = Group(HttpSection, "The HTTP API")
    websocket = Group(WebSocketSection, "The Users Socket API")
    database = Group(DatabaseSection, "The store")
    broker = Group(BrokerSection, "What joins several nodes")
    apps = Group(AppsSection, "Apps: tenants with keys and channels of their own")
    channels = Group(ChannelsSection, "What may happen in channels")
    protocols = Group(ProtocolsSection, "Wire protocols beside the Users Socket API")
    webhooks = Group(WebhooksSection, "Web hooks: calls of the endpoints of apps")
    idempotency = Group(IdempotencySection, "Requests that are made once, however often they are sent")
    workers = Group(WorkersSection, "Processes that share the ports of one server")
    session = Group(SessionSection, "Logins and their cookie SID")
    tokens = Group(TokensSection, "JSON Web Tokens, for sockets and services")
    admin_user = Group(AdminUserSection, "The super admin")
    login_limits = Group(LoginLimitsSection, "Brakes on guessing passwords")
    audit = Group(AuditSection, "The audit log: who did what to whom, from where, and when")
    passwords = Group(PasswordsSection, "Passwords and their hashing")
    mail = Group(MailSection, "Mail for registrations and new passwords")
    account_keys = Group(AccountKeysSection, "How long the keys that are sent by mail are valid")
    captcha = Group(CaptchaSection, "A captcha before a registration")
    files = Group(FilesSection, "Buckets and files")
    tls = Group(TlsSection, "TLS for both ports")
    logging = Group(LoggingSection, "Logs, which go to standard error")
    account_redirect_url = Text(
        "Where people land after they followed an activation link",
        '"" or a URL that begins with http:// or https://',
        accepts=forms.is_web_url,
        instance="https://www.example.com/welcome",
        data_key="accountRedirectURL",
    )
    password_reset_url = Text(
        "The page that the link in a password mail leads to",
        '"" or a URL that begins with http:// or https://',
        accepts=forms.is_web_url,
        instance="https://www.example.com/reset",
        data_key="passwordResetURL",
    )
    shutdown_seconds = Number("How long the server may take to finish what it accepted when it is stopped", 3_600)
