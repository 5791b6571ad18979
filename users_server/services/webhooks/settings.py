"""What an operator may set for web hooks. :mod:`users_server.config` makes it from config.json."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WebhookSettings:
    """
    Config section ``webhooks``.

    Attributes:
        allow_private_addresses: Whether endpoints may be on loopback, private and other addresses that are not public.
        timeout_seconds: For one whole call.
        max_in_flight: How many calls this process has under way at once.
        max_in_flight_per_app: The same for one app.
        max_idle_connections: How many connections that are not in use are kept open.
        give_up_hours: How old a delivery may be before it is tried no more.
        keep_dead_days: How long one that was given up is kept.
        max_waiting_per_app: How many may wait; the oldest beyond that are given up.
        max_dead_per_app: How many that were given up are kept; the oldest beyond that are removed.
        max_unwritten: How many announcements may wait for the store; the next is refused.
        node_lease_seconds: After how long without a sign of life a process is taken for dead.
    """

    allow_private_addresses: bool = False
    timeout_seconds: float = 5.0
    max_in_flight: int = 512
    max_in_flight_per_app: int = 64
    max_idle_connections: int = 256
    give_up_hours: float = 24.0
    keep_dead_days: float = 30.0
    max_waiting_per_app: int = 1_000_000
    max_dead_per_app: int = 10_000
    max_unwritten: int = 10_000
    node_lease_seconds: float = 10.0
