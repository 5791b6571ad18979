"""Token buckets."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from users_server.core.rate_limit import TokenBucket
from users_server.core.statistics import Histogram


def test_a_burst_and_then_the_rate() -> None:
    bucket = TokenBucket(rate=2.0, burst=3.0, now=0.0)
    assert [bucket.take(0.0) for _ in range(5)] == [True, True, True, False, False]
    assert bucket.refused == 2
    assert bucket.take(0.5)
    assert bucket.refused == 0
    assert not bucket.take(0.5)


@given(st.lists(st.floats(0, 10), max_size=200), st.floats(0.5, 20), st.integers(1, 20))
def test_never_more_than_the_burst_and_what_time_has_brought(steps: list[float], rate: float, burst: int) -> None:
    bucket, now, allowed = TokenBucket(rate, float(burst), 0.0), 0.0, 0
    for step in steps:
        now += step
        allowed += bucket.take(now)
        assert allowed <= burst + now * rate + 1e-6


def test_a_histogram_counts_by_upper_bound() -> None:
    histogram = Histogram()
    for value in (0.0005, 0.0006, 99.0):
        histogram.observe(value)
    assert histogram.counts == [1, 1, *[0] * 8, 1]
    assert histogram.total == 99.0011
