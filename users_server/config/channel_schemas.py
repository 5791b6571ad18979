"""The sections of config.json about apps, their channels, and the processes and protocols that serve them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from marshmallow import post_load

from users_server.config.protocols import PROTOCOLS
from users_server.config.settings import ChannelRuleSettings, ChannelSettings, WorkerSettings
from users_server.core.channels import ChannelLimits, Publishers
from users_server.schemas import forms
from users_server.schemas.settings import Choice, Conflict, Flag, Group, ListOf, Number, Section, Text, Whole, section
from users_server.services.settings import AppSettings, BrokerSettings

HOW_TO_MAKE_A_KEY = 'Make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'

APP_ID = r"^([A-Za-z0-9._-]{1,64})?$"


@section(BrokerSettings)
class BrokerSection(Section):
    url = Text(
        "What joins several nodes: Redis, alone, behind Sentinel or as a Cluster; memory:// for one node alone",
        '"memory://", "redis://HOST:PORT/DB", "redis+sentinel://…", "redis+cluster://…" or one of these with rediss',
        accepts=forms.is_broker_url,
        explain=forms.explain_broker,
    )
    prefix = Text(
        "What every key and channel in Redis begins with; nodes of one cluster have the same",
        "1 to 64 characters out of A-Z a-z 0-9 . _ : -",
        pattern=r"^[A-Za-z0-9._:-]{1,64}$",
    )
    history = Choice(
        "Where the histories of channels are with memory://: memory, or database to outlive a restart",
        ("memory", "database"),
    )
    history_channels = Whole(
        "How many channels' histories are kept in memory; the longest silent goes first", 1, 10_000_000
    )
    history_bytes = Whole("How much the histories in memory may take in all, as JSON", 1_024, 1_099_511_627_776)
    max_waiting = Whole("How many publications may wait while Redis is away; the next is refused", 1, 10_000_000)
    max_waiting_seconds = Number("How long a publication may wait for Redis", 3_600, above=True)
    lease_seconds = Number(
        "How long the members of a node that died are still listed; a node renews its claims three times as often",
        14,
        minimum=1,
    )
    connect_timeout_seconds = Number("How long one attempt to reach Redis may take", 300, above=True)
    command_timeout_seconds = Number("How long Redis may take to answer before the line is given up", 300, above=True)
    max_reconnect_seconds = Number("The longest pause between two attempts to reach Redis", 300, above=True)


@section(AppSettings)
class AppsSection(Section):
    encryption_keys = ListOf(
        "What the secrets of apps are encrypted with in the database: the first encrypts, all decrypt. Empty: the key "
        "in apps.keyFile. Nodes of one cluster have the same keys",
        "a list of keys, each of 32 characters or more",
        Text(
            "One key",
            "at least 32 characters of ASCII without spaces",
            pattern=r"^[!-~]{32,1024}$",
            is_secret=True,
            explain=lambda _: HOW_TO_MAKE_A_KEY,
        ),
        is_secret=True,
    )
    key_file = Text(
        "Where the key is kept if apps.encryptionKeys is empty, relative to config.json; made at the first start",
        "the name of a file",
        pattern=r"^.+$",
    )
    creation = Choice("Who may make an app over HTTP: admins, or all users with an account", ("admins", "users"))
    max_per_user = Whole("How many apps an account that is no admin may own", 0, 1_000_000)
    max_cached = Whole("How many apps a node keeps in memory", 1, 10_000_000)


@section(ChannelRuleSettings)
class ChannelRuleSection(Section):
    pattern = Text(
        "The names of the channels: * stands for any characters, everything else for itself",
        "a name, with or without *",
        pattern=r"^.{1,1000}$",
        instance="news:*",
    )
    app = Text("The id of the app that the rule is for; empty for all", '"" or the id of an app', pattern=APP_ID)
    history_size = Whole("How many publications are kept for clients that come back; 0 for none", 0, 1_000_000)
    history_seconds = Number("How long they are kept; 0 for not at all", 31_536_000)
    presence = Flag("Whether it is kept, and told, who is there")
    publishers = Choice("Who may publish: clients, or the server and services alone", Publishers)

    def conflicts(self, settings: ChannelRuleSettings) -> Iterator[Conflict]:
        hint = "A history is bounded by both: write both, or neither"
        if settings.history_size and not settings.history_seconds:
            yield "historySeconds", "how long the history is kept, beside historySize", hint
        if settings.history_seconds and not settings.history_size:
            yield "historySize", "how many publications the history keeps, beside historySeconds", hint


@section(ChannelLimits)
class ChannelLimitsSection(Section):
    per_connection = Whole("How many channels one connection may be subscribed to; 0 for no limit", 0, 1_000_000)
    name_bytes = Whole("How long the name of a channel may be, in UTF-8", 1, 65_536)
    members = Whole("How many connections may be listed in one channel's presence; 0 for no limit", 0, 1_000_000)
    data_bytes = Whole(
        "How large the data of a publication may be as JSON, where the app has no limit of its own; 0 for no limit",
        0,
        1_073_741_824,
    )
    joining_publications = Whole(
        "How many publications may wait for a client until its subscription is complete; beyond that it fails; 0 for "
        "no limit",
        0,
        1_000_000,
    )
    recovered_publications = Whole(
        "How many publications a client that comes back may be sent; if it missed more, it is told so; 0 for no limit",
        0,
        1_000_000,
    )


@section(ChannelSettings)
class ChannelsSection(Section):
    rules = ListOf(
        "What channels can do, by their names: the first rule that matches a channel is its rule; without one it has "
        'neither history nor presence. One rule: {"pattern": "news:*", "historySize": 100, "historySeconds": 300}',
        "a list of rules, each an object",
        Group(ChannelRuleSection, "One rule"),
    )
    limits = Group(ChannelLimitsSection, "Bounds of every channel and connection")


@section(WorkerSettings)
class WorkersSection(Section):
    count = Whole(
        "How many processes serve on the same ports; 0 for one on each processor. More than one needs Redis "
        "(broker.url). Limits of connections and logins hold for each of them",
        0,
        1_024,
    )
    status_port = Whole(
        "Where the first worker alone answers /healthz, /readyz and /metrics; the second has the next port, and so on; "
        "0 for none",
        0,
        65_535,
        explain=forms.explain_port,
    )


class _ProtocolsSection(Section):
    """``protocols``: a group for each folder. Loads into a mapping, so that nothing here depends on a folder."""

    settings = dict

    @post_load
    def build(self, data: Mapping[str, Any], **_: Any) -> Mapping[str, Any]:
        return {protocol.name: protocol.section.settings() for protocol in PROTOCOLS} | dict(data)


ProtocolsSection: type[Section] = type(
    "ProtocolsSection",
    (_ProtocolsSection,),
    {protocol.name: Group(protocol.section, protocol.description) for protocol in PROTOCOLS},
)
