"""
Whatever comes before what: each subscriber has the channel from its subscription on, and knows who is there.

A node moves on a bus whose every step is a matter of chance: calls, answers and deliveries overtake each other, fail
and are lost, while clients come, subscribe, leave, vanish and give up. When everything has arrived, each client's story
must be the channel's; when everybody has left, nothing may be left.
"""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule

from tests.unit.core.world import STEPS, World


class Interleavings(RuleBasedStateMachine):
    """Hypothesis chooses every step, and tells the shortest story that goes wrong."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()

    @rule(name=st.sampled_from(sorted(STEPS)), random=st.randoms(use_true_random=False))
    def step(self, name: str, random: Random) -> None:
        self.world.step(name, random)

    def teardown(self) -> None:
        try:
            self.world.finish()
        finally:
            self.world.close()


TestInterleavings = Interleavings.TestCase
TestInterleavings.settings = settings(
    max_examples=30, stateful_step_count=40, deadline=None, suppress_health_check=list(HealthCheck)
)


@pytest.mark.parametrize("seed", range(60))
def test_a_long_story_ends_well(seed: int) -> None:
    """Longer, and in each story some things happen more often than in others; the seed tells it again."""
    random = Random(seed)
    weights = [weight * random.choice([0.0, 0.3, 1.0, 1.0, 3.0]) for weight in STEPS.values()]
    world = World()
    try:
        for name in random.choices(list(STEPS), weights, k=200):
            world.step(name, random)
        world.finish()
    finally:
        world.close()
