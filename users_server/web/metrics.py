"""
What ``/metrics`` tells Prometheus.

Rule: every label has a bounded set of values, such as templates and slugs, and never a client's text.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, Counter, Histogram
from prometheus_client.exposition import choose_encoder

if TYPE_CHECKING:
    from prometheus_client.registry import Collector

METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
UNMATCHED = "unmatched"
_LATENCY_BOUNDS_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Metrics:
    """Counters of one server, in a registry of their own."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry(auto_describe=True)
        self._requests = Counter(
            "users_server_http_requests",
            "HTTP requests that were answered, by the status that is proper for the answer",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._latency = Histogram(
            "users_server_http_request_duration_seconds",
            "Time from a request's headers to the end of its answer",
            ("method", "route"),
            buckets=_LATENCY_BOUNDS_SECONDS,
            registry=self._registry,
        )
        self._logins = Counter(
            "users_server_logins",
            "Logins over HTTP: success, or the reason of the refusal",
            ("result",),
            registry=self._registry,
        )
        self._logins.labels("success")

    def attach(self, collector: Collector) -> None:
        """Let ``collector`` add its own metrics at each scrape."""
        self._registry.register(collector)

    def observe_request(self, method: str, route: str, status: int, duration_seconds: float) -> None:
        """Count one answered request. ``route`` must be a template of the route table, or :data:`UNMATCHED`."""
        method = method if method in METHODS else "other"
        self._requests.labels(method, route, str(status)).inc()
        self._latency.labels(method, route).observe(duration_seconds)

    def count_login(self, result: str) -> None:
        """Count one login: ``success``, or the ``reason`` slug of the error."""
        self._logins.labels(result).inc()

    def render(self, accept: str) -> tuple[bytes, str]:
        """The text of all metrics and its content type, OpenMetrics if ``accept`` asks for it."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type
