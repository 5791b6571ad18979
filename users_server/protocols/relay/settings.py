"""What an operator may set for the relay: config section ``protocols.relay``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from users_server.core.messages import DEFAULT_APP, JSON
from users_server.protocols.relay.kinds import SCHEMAS, KindRule, UnusableSchema, make_check
from users_server.schemas.forms import is_redis_url
from users_server.schemas.settings import (
    Choice,
    Conflict,
    Flag,
    Group,
    ListOf,
    Number,
    Section,
    Setting,
    Text,
    URLPath,
    Whole,
    section,
)

MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: as long as the hash."""


@dataclass(frozen=True, slots=True)
class KindSettings:
    """
    One of ``kinds``.

    Attributes:
        kind: What stands before ``:`` in the names of its channels.
        schema: One of :data:`users_server.protocols.relay.kinds.SCHEMAS`, or a JSON Schema object.
        clients_may_send: Else only the server side publishes.
        recipient_field: The field of ``data`` with the id of the one user who gets the message; empty for none.
        announces_presence: Whether who is there is told.
    """

    kind: str
    schema: JSON = "any"
    clients_may_send: bool = True
    recipient_field: str = ""
    announces_presence: bool = False

    def rule(self) -> KindRule:
        """The same as the rules have it. Raises :class:`UnusableSchema`."""
        check = make_check(self.schema)
        return KindRule(check, self.clients_may_send, self.recipient_field, self.announces_presence)


BUILT_IN_KINDS = (
    KindSettings("chat", "chat", recipient_field="target_user_id", announces_presence=True),
    KindSettings("tweet", "tweet"),
    KindSettings("progress", "progress"),
)


DELIVER, REFUSE = POLICIES = ("deliver", "refuse")


@dataclass(frozen=True, slots=True)
class CallbackSettings:
    """
    The application's HTTP callback.

    Attributes:
        url: Empty for none.
        timeout_seconds: How long one answer may take.
        policy: What becomes of a message when there is no answer: one of :data:`POLICIES`.
        max_waiting: How many calls may be under way; beyond that, the policy holds at once.
    """

    url: str = ""
    timeout_seconds: float = 2.0
    policy: str = DELIVER
    max_waiting: int = 1_000


@dataclass(frozen=True, slots=True)
class RelaySettings:
    """
    Config section ``protocols.relay``.

    Attributes:
        port: A port of its own, where the relay's path is ``/``; 0 for none.
        kinds: Beside :data:`BUILT_IN_KINDS`, or in the place of one of them.
        app: The app of ``path``, of the callback and of what comes from Redis.
        secret: What its tokens are signed with; empty for the app's own secrets.
        redis_url: Where the back end publishes; empty for the broker's Redis, if that is one.
        redis_prefix: Of the Pub/Sub channel ``<prefix>broadcast``.
        max_input_bytes: The largest message that is taken from Redis.
    """

    is_enabled: bool = True
    path: str = "/relay"
    port: int = 0
    app: str = DEFAULT_APP
    secret: str = field(default="", repr=False)
    kinds: tuple[KindSettings, ...] = ()
    callback: CallbackSettings = field(default_factory=CallbackSettings)
    redis_url: str = field(default="", repr=False)
    redis_prefix: str = ""
    max_input_bytes: int = 1_048_576

    def rules(self) -> Mapping[str, KindRule]:
        """By kind: the built-in ones, and those of the configuration. Raises :class:`UnusableSchema`."""
        return {kind.kind: kind.rule() for kind in (*BUILT_IN_KINDS, *self.kinds)}


def is_callback_url(text: str) -> bool:
    """Empty, or an absolute http or https URL."""
    if not text:
        return True
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


class SchemaSetting(Setting):
    """The name of a schema that we have, or a JSON Schema object that can be used."""

    def __init__(self, description: str) -> None:
        names = ", ".join(f'"{name}"' for name in SCHEMAS)
        forms = [{"type": "string", "enum": list(SCHEMAS)}, {"type": "object"}]
        super().__init__(
            f"one of {names}, or a JSON Schema object",
            description,
            {"explain": explain_schema},
            metadata={"anyOf": forms},
        )

    def _deserialize(self, value: Any, attr: str | None, data: Mapping[str, Any] | None, **kwargs: Any) -> JSON:
        try:
            make_check(value)
        except UnusableSchema as error:
            raise self.make_error("invalid") from error
        return value


def explain_schema(value: JSON) -> str | None:
    """What is wrong with an object that is no schema."""
    try:
        make_check(value)
    except UnusableSchema as error:
        return error.why if isinstance(value, dict) else None
    return None


@section(KindSettings)
class RelayKindSection(Section):
    kind = Text(
        "What stands before the colon in the names of its channels",
        "a name without a colon",
        pattern=r"^[^:]{1,100}$",
        required=True,
        instance="news",
    )
    schema = SchemaSetting("What the data of a message looks like; any lets every object pass")
    clients_may_send = Flag("Whether clients send; else only the server side publishes")
    recipient_field = Text(
        "The field of the data with the id of the one user who gets the message; it is taken out. Empty for none",
        '"" or the name of a field',
        instance="target_user_id",
    )
    announces_presence = Flag("Whether clients are told who is there, who comes and who goes")


@section(CallbackSettings)
class RelayCallbackSection(Section):
    url = Text(
        "Where each message of a client is posted before it is delivered; empty for nowhere",
        '"" or a URL that begins with http:// or https://',
        accepts=is_callback_url,
        instance="https://www.example.com/relay",
    )
    timeout_seconds = Number("How long it may take to answer", 300, above=True)
    policy = Choice("What becomes of a message while the callback is down or slow", POLICIES)
    max_waiting = Whole("How many calls may be under way; beyond that the policy holds at once", 1, 1_000_000)


@section(RelaySettings)
class RelaySection(Section):
    is_enabled = Flag("Whether it is served. Nobody connects without a token", data_key="enabled")
    path = URLPath("Its path on the port of the WebSocket API; PATH/APP is the same for any other app")
    port = Whole('A port of its own, where the path is "/"; 0 for none', 0, 65_535)
    app = Text(
        "The app of the path, of the callback and of what comes from Redis",
        "the id of an app",
        pattern=r"^[0-9A-Za-z][0-9A-Za-z._-]{0,63}$",
    )
    secret = Text(
        "What the tokens for the path are signed with (HS256); empty for the secrets of the app",
        f'"" or at least {MIN_SECRET_BYTES} bytes',
        accepts=lambda secret: not secret or len(secret.encode()) >= MIN_SECRET_BYTES,
        is_secret=True,
    )
    kinds = ListOf(
        "Rules of kinds of channels, beside chat, tweet and progress, or in the place of one of them. One kind: "
        '{"kind": "news", "schema": "any", "clientsMaySend": false}',
        "a list of kinds, each an object",
        Group(RelayKindSection, "One kind"),
    )
    callback = Group(RelayCallbackSection, "The application's own say in what is delivered")
    redis_url = Text(
        "The Redis where the back end publishes; empty for the one of broker.url, if that is Redis",
        '"" or the URL of a Redis as in broker.url',
        accepts=lambda url: not url or is_redis_url(url),
        instance="redis://localhost:6379/0",
    )
    redis_prefix = Text(
        'The back end publishes on "<prefix>broadcast"', "text of at most 200 characters", pattern=r"^.{0,200}$"
    )
    max_input_bytes = Whole("The largest message that is taken from Redis", 1, 1_073_741_824)

    def conflicts(self, settings: RelaySettings) -> Iterator[Conflict]:
        names = [kind.kind for kind in settings.kinds]
        if len(set(names)) < len(names):
            yield "kinds", "each kind once", "Remove the one that is not meant"
