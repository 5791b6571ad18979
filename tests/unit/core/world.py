"""A node, its clients and a bus that does nothing by itself; steps are taken by chance, which a test hands over."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Coroutine
from random import Random
from typing import Any

from tests.unit.core.doubles import Bench, assert_nothing_is_left
from tests.unit.core.slow_bus import SlowBus, breathe
from tests.unit.core.story import ENCODERS, Witness
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules
from users_server.core.messages import DEFAULT_APP, ClientInfo, HistoryRule, Member, Publication, StreamPosition
from users_server.core.subscriptions import Subscription
from users_server.errors import BrokerUnavailable, Conflict, LimitExceeded

HISTORY = HistoryRule(6, 60.0)
RULES = ChannelRules([ChannelRule("kept", history=HISTORY)])
LIMITS = ChannelLimits(members=6, joining_publications=4, recovered_publications=5)
CHANNELS = ("kept", "plain")

STEPS = {
    "connect": 2.0,
    "subscribe": 5.0,
    "unsubscribe": 2.0,
    "disconnect": 1.0,
    "cancel": 1.0,
    "publish": 3.0,
    "publish_elsewhere": 3.0,
    "presence_elsewhere": 2.0,
    "carry_out": 10.0,
    "answer": 10.0,
    "deliver": 6.0,
    "flush": 1.0,
    "lose_history": 0.3,
    "lose_presence": 0.3,
    "cut": 0.5,
    "settle": 0.5,
}
"""What can happen, and how often it does in the long run."""


class Attempt:
    """One call of ``subscribe``, and what it has made."""

    def __init__(self, witness: Witness, channel: str, future: asyncio.Future[None]) -> None:
        self.witness = witness
        self.channel = channel
        self.future = future
        self.is_cancelled = False
        self.made: Subscription | None = None


class World:
    """Each step is a method with a name of :data:`STEPS`; one that is not possible does nothing."""

    def __init__(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.bus = SlowBus()
        self.witnesses: list[Witness] = []
        self.attempts: list[Attempt] = []
        self.outcomes: list[asyncio.Future[Any]] = []
        self.count = 0
        self.do(self._start())

    async def _start(self) -> None:
        # no lease: reads are tried again at once, and nobody is held back
        self.bench = Bench(lambda clock: (self.bus, self.bus), rules=RULES, limits=LIMITS, lease_seconds=0.0)
        self.node = self.bench.node
        await self.node.start()

    def do(self, coroutine: Coroutine[Any, Any, None]) -> None:
        self.loop.run_until_complete(coroutine)
        self.loop.run_until_complete(breathe())

    def call(self, function: Callable[[], None]) -> None:
        """Call within the loop."""

        async def call() -> None:
            function()

        self.do(call())

    def step(self, name: str, random: Random) -> None:
        method: Callable[[Random], None] = getattr(self, name)
        method(random)

    def fresh(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}{self.count}"

    # clients

    def connect(self, random: Random) -> None:
        if len(self.witnesses) < 4:
            encoder = random.choice(ENCODERS)
            witness = Witness(self.node, self.bus, self.fresh("c"), random.choice("ab"), encoder)
            self.witnesses.append(witness)

    def subscribe(self, random: Random) -> None:
        if not self.witnesses:
            return
        witness, channel = random.choice(self.witnesses), random.choice(CHANNELS)
        is_member, hears_presence = random.choice([(True, True), (False, True), (False, False), (True, False)])
        ref = random.choice(["", self.fresh("ref")])
        since = random.choice(
            [
                None,
                None,
                witness.last_position(channel),
                witness.last_position(channel),
                self.bus.channel(channel).top,
                StreamPosition(random.randrange(9), "e1"),
            ]
        )

        async def subscribe() -> None:
            greet = witness.greeter(since, is_member=is_member, hears_presence=hears_presence, ref=ref)
            await self.node.subscribe(
                witness.connection,
                channel,
                greet,
                since=since,
                member=witness.member(ref) if is_member else None,
                hears_presence=hears_presence,
            )

        before = self._subscription(witness, channel)
        attempt = Attempt(witness, channel, self.loop.create_task(subscribe()))
        self.attempts.append(attempt)
        self.do(breathe())
        after = self._subscription(witness, channel)
        attempt.made = None if after is before else after

    def unsubscribe(self, random: Random) -> None:
        if not self.witnesses:
            return
        witness, channel = random.choice(self.witnesses), random.choice(CHANNELS)

        def unsubscribe() -> None:
            self._await(self.node.unsubscribe(witness.connection, channel))
            witness.mark_end(channel)

        self.call(unsubscribe)

    def disconnect(self, random: Random) -> None:
        if self.witnesses:
            self._disconnect(random.choice(self.witnesses))

    def _disconnect(self, witness: Witness) -> None:
        def disconnect() -> None:
            self.node.disconnect(witness.connection)
            for channel in CHANNELS:
                witness.mark_end(channel)

        self.witnesses.remove(witness)
        self.call(disconnect)
        self.bench.tick()
        witness.check(is_settled=False)

    def cancel(self, random: Random) -> None:
        """A caller gives up while he waits."""
        running = [attempt for attempt in self.attempts if not attempt.future.done()]
        if not running:
            return
        attempt = random.choice(running)
        attempt.is_cancelled = attempt.future.cancel()
        self.do(breathe())
        subscription = self._subscription(attempt.witness, attempt.channel)
        assert subscription is None or subscription is not attempt.made, "something stayed"
        if subscription is None:
            attempt.witness.mark_end(attempt.channel)

    def publish(self, random: Random) -> None:
        someone = random.choice(self.witnesses).connection.id if self.witnesses else "nobody"
        narrowed = random.choice([{}, {}, {"to_user": "a"}, {"to_user": "b"}, {"except_connection": someone}])
        by = random.choice([None, ClientInfo(someone)])
        channel = random.choice(CHANNELS)

        def publish() -> None:
            self._await(self.node.publish(DEFAULT_APP, channel, self.fresh("n"), {}, by=by, **narrowed))

        self.call(publish)

    def flush(self, random: Random) -> None:
        self.bench.tick()
        for witness in self.witnesses:
            witness.check(is_settled=False)

    # other nodes

    def publish_elsewhere(self, random: Random) -> None:
        channel = random.choice(CHANNELS)
        for _ in range(random.randint(1, 3)):
            publication = Publication(
                DEFAULT_APP, channel, self.fresh("r"), {}, to_user=random.choice([None, None, "a"])
            )
            self.bus.do_publish(publication, HISTORY if channel == "kept" else None)

    def presence_elsewhere(self, random: Random) -> None:
        number = random.randint(1, 3)
        ref = random.choice(["", self.fresh("ref")])
        self._turn(random.choice(CHANNELS), Member(f"r{number}", "ab"[number % 2], ref=ref))

    def _turn(self, channel: str, member: Member) -> None:
        if member.connection_id in self.bus.channel(channel).members:
            self.bus.do_leave(channel, member.connection_id)
        else:
            self.bus.do_join(channel, member)

    # the bus

    def carry_out(self, random: Random) -> None:
        fate = random.choice([*["done"] * 12, "fails", "answer is lost"])
        for _ in range(min(random.randint(1, 3), len(self.bus.calls))):
            self.bus.carry_out(fails=fate == "fails", answer_is_lost=fate == "answer is lost")

    def answer(self, random: Random) -> None:
        if self.bus.answers:
            index = random.randrange(len(self.bus.answers))
            self.call(lambda: self.bus.answer(index))

    def deliver(self, random: Random) -> None:
        waiting = [channel for channel in self.bus.channels.values() if channel.back]
        if waiting:
            channel = random.choice(waiting)
            for _ in range(min(random.randint(1, 3), len(channel.back))):
                self.call(lambda: self.bus.deliver(channel.name))

    def lose_history(self, random: Random) -> None:
        """Not while something of the lost epoch is under way to a node that has seen nothing yet: it could not know."""
        local = self.node.hub.open((DEFAULT_APP, "kept"))
        if local.position is not None or not self.bus.channel("kept").back:
            self.bus.lose_history("kept")
        self.node.hub.close_unused(local)

    def lose_presence(self, random: Random) -> None:
        channel = random.choice(CHANNELS)
        self.call(lambda: self.bus.lose_presence(channel))

    def cut(self, random: Random) -> None:
        is_told = random.random() < 0.5
        self.call(lambda: self.bus.cut("kept", is_told=is_told))

    # the end

    def settle(self, random: Random | None = None) -> None:
        """Let everything arrive, and see whether it is right."""
        for name in CHANNELS:
            self._turn(name, Member("r9", "c"))  # so that a node that has lost a change finds out
        self.do(self.bus.settle())
        self.bench.tick()
        for attempt in self.attempts:
            assert attempt.future.done(), f"{attempt.witness.connection.id} still waits for {attempt.channel}"
            assert attempt.future.cancelled() == attempt.is_cancelled
            if not attempt.is_cancelled and attempt.future.exception() is not None:
                assert isinstance(attempt.future.exception(), (Conflict, LimitExceeded, BrokerUnavailable))
        self.attempts.clear()
        for witness in self.witnesses:
            witness.check(is_settled=True)
        for name, channel in self.bus.channels.items():
            subscribers = [witness for witness in self.witnesses if name in witness.connection.subscriptions]
            members = [w.connection.id for w in subscribers if w.periods(name)[-1].is_member]
            assert sorted(members) == sorted(key for key in channel.members if key.startswith("c"))
            assert channel.is_brought == bool(subscribers)

    def finish(self) -> None:
        """Everybody leaves, and nothing may be left."""
        self.settle()
        for witness in tuple(self.witnesses):
            self._disconnect(witness)
        self.do(self.bus.settle())
        assert_nothing_is_left(self.node)
        assert not any(channel.is_brought for channel in self.bus.channels.values())
        assert len(self.node._tasks) == 0

    def close(self) -> None:
        self.do(self._stop())
        self.loop.close()

    async def _stop(self) -> None:
        unfinished = [*self.outcomes, *(attempt.future for attempt in self.attempts)]
        for future in unfinished:
            future.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)
        await self.node.stop()

    def _await(self, outcome: Any) -> None:
        async def swallow() -> None:
            with contextlib.suppress(BrokerUnavailable):
                await outcome

        self.outcomes.append(asyncio.ensure_future(swallow()))

    def _subscription(self, witness: Witness, channel: str) -> Subscription | None:
        return (witness.connection.joined or {}).get(channel)
