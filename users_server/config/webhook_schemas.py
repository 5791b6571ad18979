"""The section of config.json about web hooks."""

from __future__ import annotations

from collections.abc import Iterator

from users_server.schemas.settings import Conflict, Flag, Number, Section, Whole, section
from users_server.services.webhooks import WebhookSettings

MOST = 1_000_000_000


@section(WebhookSettings)
class WebhooksSection(Section):
    allow_private_addresses = Flag(
        "Whether the endpoints of apps may be on this machine, in private networks and on other addresses that are not "
        "public. With true, who may set an app's endpoint can reach what this server can reach"
    )
    timeout_seconds = Number(
        "How long one call may take, from the look-up of its host to the end of its answer", 30, minimum=0.1
    )
    max_in_flight = Whole("How many calls may be under way at once", 1, 10_000)
    max_in_flight_per_app = Whole("How many calls may be under way at once for one app", 1, 10_000)
    max_idle_connections = Whole("How many connections to endpoints are kept for further calls", 0, 10_000)
    give_up_hours = Number("How long a delivery is tried again before it is given up", 720, above=True)
    keep_dead_days = Number("How long a delivery is kept that was given up", 3_650)
    max_waiting_per_app = Whole("How many deliveries of one app may wait; the oldest beyond are given up", 1, MOST)
    max_dead_per_app = Whole("How many deliveries of one app are kept that were given up", 0, MOST)
    max_unwritten = Whole("How many announcements may wait for the database; the next is refused", 1, 10_000_000)
    node_lease_seconds = Number(
        "How long a server may be silent before what it had announced the end of is sent for it; it renews its record "
        "three times as often. Servers that share a database have the same",
        14,
        minimum=1,
    )

    def conflicts(self, settings: WebhookSettings) -> Iterator[Conflict]:
        if settings.max_in_flight_per_app > settings.max_in_flight:
            expected = f"at most webhooks.maxInFlight ({settings.max_in_flight})"
            yield "maxInFlightPerApp", expected, "Lower it, or raise webhooks.maxInFlight"
