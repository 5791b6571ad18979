"""What is counted about web hooks as Prometheus metrics, made at each scrape."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from users_server.services.webhooks import WebhookFigures
from users_server.web.statistics_collector import histogram_of


class WebhookCollector(Collector):
    """Reads ``figures`` when asked."""

    def __init__(self, figures: WebhookFigures) -> None:
        self._figures = figures

    def collect(self) -> Iterator[Metric]:
        figures = self._figures
        for name, text, count in (
            ("announced", "Announcements that were written to the database", figures.announced),
            ("delivered", "Web hooks that their endpoint took", figures.delivered),
            ("failed", "Attempts to send a web hook that failed", figures.failed),
            ("dead", "Web hooks that were given up", figures.dead),
            ("wills", "Web hooks that were owed because a server had died", figures.wills),
        ):
            yield CounterMetricFamily(f"users_server_webhooks_{name}", text, count)
        for name, text, value in (
            ("in_flight", "Calls of endpoints that are under way", figures.in_flight),
            ("unwritten", "Steps that wait for the database", figures.unwritten),
            ("open", "Announcements of this server that are not over", figures.open),
            ("resting_apps", "Apps whose endpoint cannot be reached", figures.resting),
            ("waiting", "Web hooks in the database, of all servers, at the last look", figures.waiting),
        ):
            yield GaugeMetricFamily(f"users_server_webhooks_{name}", text, value)
        yield histogram_of(
            "users_server_webhook_call_duration_seconds", "How long calls of endpoints took", figures.latency
        )
