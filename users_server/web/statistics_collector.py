"""The node's plain counters as Prometheus metrics, made at each scrape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.registry import Collector

from users_server.core.statistics import Histogram, Statistics


class StatisticsCollector(Collector):
    """
    Reads ``statistics`` when asked.

    Args:
        queue_sizes: The bytes that wait in each connection's send queue, in any order.
    """

    def __init__(self, statistics: Statistics, queue_sizes: Callable[[], list[int]]) -> None:
        self._statistics = statistics
        self._queue_sizes = queue_sizes

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
            )
        )
        yield self._messages()
        yield self._closed()
        yield from self._queues()
        yield _histogram(
            "users_server_broadcast_latency_seconds",
            "From a publication's arrival at the hub to its last write",
            s.broadcast_latency,
        )
        yield _histogram("users_server_loop_lag_seconds", "Lateness of the event loop", s.loop_lag)

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

    def _queues(self) -> Iterator[Metric]:
        sizes = self._queue_sizes()
        yield GaugeMetricFamily("users_server_send_queue_bytes", "Bytes that wait in all send queues", sum(sizes))
        yield GaugeMetricFamily(
            "users_server_send_queue_max_bytes", "Bytes that wait in the fullest send queue", max(sizes, default=0)
        )


def _histogram(name: str, text: str, histogram: Histogram) -> Metric:
    bounds = [*map(str, histogram.bounds), "+Inf"]
    buckets = list(zip(bounds, accumulate(histogram.counts), strict=True))
    return HistogramMetricFamily(name, text, buckets=buckets, sum_value=histogram.total)
