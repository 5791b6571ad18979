"""The node's plain counters as Prometheus metrics, made at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from users_server.core.statistics import Histogram, Statistics

_BROKER_GAUGES = {
    "is_connected": ("users_server_broker_connected", "Whether Redis can be used: 1 or 0"),
    "waiting": ("users_server_broker_waiting", "Commands that wait for a line to Redis"),
    "subscriptions": ("users_server_broker_subscriptions", "Channels that this node hears of through Redis"),
}
_BROKER_COUNTERS = {
    "reconnects": ("users_server_broker_reconnects", "Times that a line to Redis came back after it had been cut"),
    "catch_ups": ("users_server_broker_catch_ups", "Times that a history was read to find what had been missed"),
    "recovered": ("users_server_broker_recovered", "Publications that were missed and found in a history"),
    "gaps": ("users_server_broker_gaps", "Times that what had been missed was in no history any more"),
    "duplicates": ("users_server_broker_duplicates", "Publications that came a second time and were dropped"),
    "repeated": ("users_server_broker_repeated", "Commands that were sent again because their answer was lost"),
    "late": ("users_server_broker_late", "Publications and questions that were given up"),
    "reaped": ("users_server_presence_reaped", "Members that left because their node was dead"),
    "lapses": ("users_server_presence_lapses", "Times that the lease of this node had ended"),
}


class StatisticsCollector(Collector):
    """
    Reads ``statistics`` when asked.

    Args:
        queue_sizes: The bytes that wait in each connection's send queue, in any order.
        broker: What the broker counts, by name; empty for one without a network. Names that are not known here are
            left out.
    """

    def __init__(
        self,
        statistics: Statistics,
        queue_sizes: Callable[[], list[int]],
        broker: Callable[[], Mapping[str, int]] = dict,
    ) -> None:
        self._statistics = statistics
        self._queue_sizes = queue_sizes
        self._broker = broker

    def collect(self) -> Iterator[Metric]:
        s = self._statistics
        yield GaugeMetricFamily("users_server_connections", "WebSocket connections that are open", s.connections)
        yield from (
            CounterMetricFamily(name, text, value)
            for name, text, value in (
                ("users_server_connections_opened", "WebSocket connections since the start", s.connections_total),
                ("users_server_publications", "Publications that reached this node", s.publications),
                ("users_server_deliveries", "Frames queued for subscribers", s.deliveries),
                ("users_server_delivery_writes", "Writes that carried deliveries", s.writes),
                ("users_server_coalesced_writes", "Deliveries that shared a write", s.deliveries - s.writes),
                ("users_server_flushes", "Times that pending frames were written out", s.flushes),
                ("users_server_delivery_bytes", "Bytes queued for subscribers", s.bytes_queued),
                ("users_server_gaps", "Times that clients were told that publications are lost", s.gaps),
                ("users_server_interruptions", "Times that this node was cut off from the others", s.interruptions),
            )
        )
        yield self._messages()
        yield self._closed()
        yield self._recoveries()
        yield from self._broker_figures()
        yield from self._queues()
        yield histogram_of(
            "users_server_broadcast_latency_seconds",
            "From a publication's arrival at the hub to its last write",
            s.broadcast_latency,
        )
        yield histogram_of("users_server_loop_lag_seconds", "Lateness of the event loop", s.loop_lag)

    def _messages(self) -> Metric:
        family = CounterMetricFamily(
            "users_server_messages",
            "Messages from clients, by event and what became of them",
            labels=("event", "result"),
        )
        for labels, count in self._statistics.messages.items():
            family.add_metric(labels, count)
        return family

    def _closed(self) -> Metric:
        family = CounterMetricFamily(
            "users_server_connections_closed",
            "Connections that this server closed, by reason; slow_consumer is an overflow of the send queue",
            labels=("reason",),
        )
        for reason, count in self._statistics.closed.items():
            family.add_metric((reason,), count)
        return family

    def _recoveries(self) -> Metric:
        family = CounterMetricFamily(
            "users_server_recoveries",
            "Clients that came back to a channel: recovered, or lost if too much was missed",
            labels=("result",),
        )
        for result in ("recovered", "lost"):
            family.add_metric((result,), self._statistics.recoveries[result])
        return family

    def _broker_figures(self) -> Iterator[Metric]:
        for key, value in self._broker().items():
            if key in _BROKER_GAUGES:
                yield GaugeMetricFamily(*_BROKER_GAUGES[key], value)
            elif key in _BROKER_COUNTERS:
                yield CounterMetricFamily(*_BROKER_COUNTERS[key], value)

    def _queues(self) -> Iterator[Metric]:
        sizes = self._queue_sizes()
        yield GaugeMetricFamily("users_server_send_queue_bytes", "Bytes that wait in all send queues", sum(sizes))
        yield GaugeMetricFamily(
            "users_server_send_queue_max_bytes", "Bytes that wait in the fullest send queue", max(sizes, default=0)
        )


def histogram_of(name: str, text: str, histogram: Histogram) -> Metric:
    """``histogram`` as Prometheus has it, with cumulated counts."""
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)
