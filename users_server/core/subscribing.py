"""
The way of a subscription: claimed, heard of, caught up, listed, live.

Rule 1: everything that a subscription holds (a claim on the bus, a place in the channel, a use of the presence replica,
a listed member) is given back in :meth:`Subscribing._end`, once, whatever ends the subscription.
Rule 2: after each await the subscription may be over; :meth:`Subscription.check` says so.
Rule 3: it becomes live in one step without an await, so that what came before is in its greeting and what comes after
is delivered.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable

from users_server.core.acceptance import DONE, Accepted, Refused
from users_server.core.channels import ChannelLimits, ChannelRules, check_name, is_system_channel
from users_server.core.claims import Claims
from users_server.core.connection import Connection
from users_server.core.hub import Hub
from users_server.core.interfaces import Broker, PresenceManager
from users_server.core.messages import Member, StreamPosition
from users_server.core.presence import Replica
from users_server.core.recovery import CatchUp, Recovery
from users_server.core.replicas import Replicas
from users_server.core.subscriptions import Greet, State, Subscribed, Subscription
from users_server.core.tasks import Tasks
from users_server.core.usage import Usage
from users_server.errors import (
    BackendError,
    BrokerUnavailable,
    Conflict,
    LimitExceeded,
    PermissionDenied,
    UsersServerError,
)

MAX_READS = 5
"""Attempts to read a history whose epoch changes meanwhile."""

LISTED_SECONDS = 5.0
"""How long a newcomer waits for its own join before the presence is read again, and then before it gives up."""


class Subscribing:
    """Makes and ends the subscriptions of this node's connections."""

    def __init__(
        self,
        broker: Broker,
        presence: PresenceManager,
        hub: Hub,
        tasks: Tasks,
        *,
        usage: Usage,
        rules: ChannelRules,
        limits: ChannelLimits,
        lease_seconds: float,
    ) -> None:
        self._broker = broker
        self._presence = presence
        self._hub = hub
        self._tasks = tasks
        self._usage = usage
        self._rules = rules
        self._limits = limits
        self._claims = Claims(broker, hub.forget_position)
        self.replicas = Replicas(presence, hub.tell_presence, tasks, lease_seconds)

    def subscribe(
        self,
        connection: Connection,
        channel: str,
        greet: Greet,
        *,
        since: StreamPosition | None,
        member: Member | None,
        hears_presence: bool | None,
    ) -> Awaitable[None]:
        """:meth:`users_server.core.node.Node.subscribe`."""
        try:
            self._check(connection, channel)
            return self.begin(
                connection,
                channel,
                greet,
                has_history=self._rules.of(connection.app, channel).history is not None,
                since=since,
                member=member,
                hears_presence=hears_presence,
            )
        except UsersServerError as error:
            return Refused(error)

    def begin(
        self,
        connection: Connection,
        name: str,
        greet: Greet,
        *,
        has_history: bool = False,
        since: StreamPosition | None = None,
        member: Member | None = None,
        hears_presence: bool | None = None,
    ) -> Awaitable[None]:
        """
        Subscribe to a channel whose name was checked.

        Raises :class:`Conflict` and :class:`LimitExceeded`, if nothing was done; awaiting the result raises the rest.
        """
        if connection.is_closing or not self._hub.has(connection):
            raise Conflict("The connection is closed")
        if name in (connection.joined or {}):
            raise Conflict("The channel is subscribed already")
        key = (connection.app, name)
        if not self._claims.has(key):
            self._usage.open_channel(connection.app)
        hears = member is not None if hears_presence is None else hears_presence
        subscription = Subscription(
            connection, self._hub.open(key), greet, since, member, self._give_up, hears_presence=hears
        )
        if connection.joined is None:
            connection.joined = {}
        connection.joined[name] = subscription
        subscription.channel.newcomers[subscription] = None
        ready = self._claims.take(key)
        if has_history:
            subscription.catch_up = self._catch_up(subscription)
        is_quiet = member is None and not subscription.hears_presence
        if isinstance(ready, Accepted) and is_quiet and subscription.is_caught_up:
            self._go_live(subscription)
            subscription.check()
            return DONE
        return self._complete(subscription, ready)

    def end(self, connection: Connection, name: str) -> Awaitable[None]:
        """End a subscription, whether it is live or under way. Idempotent."""
        subscription = None if connection.joined is None else connection.joined.get(name)
        return DONE if subscription is None else self._end(subscription)

    def end_all(self, connection: Connection) -> None:
        """End every subscription of a connection that goes for good."""
        for subscription in tuple(connection.joined.values()) if connection.joined else ():
            self._tasks.settle(self._end(subscription, is_for_good=True), "leaving a channel")

    def _check(self, connection: Connection, channel: str) -> None:
        if is_system_channel(connection.app, channel):
            raise PermissionDenied("This channel is not for subscribers")
        check_name(channel, self._limits)
        joined = connection.joined or {}
        if 0 < self._limits.per_connection <= len(joined) and channel not in joined:
            raise LimitExceeded(f"A connection may have {self._limits.per_connection} channels at most")

    def _catch_up(self, subscription: Subscription) -> CatchUp:
        catch_up = CatchUp(
            subscription.since,
            subscription.channel.position if self._claims.is_heard(subscription.channel.key) else None,
            max_arrivals=self._limits.joining_publications,
            max_missed=self._limits.recovered_publications,
        )
        catch_up.skip_page()
        return catch_up

    async def _complete(self, subscription: Subscription, ready: Awaitable[None]) -> None:
        """What of subscribing needs time."""
        try:
            await ready
            subscription.check()
            if subscription.hears_presence:
                subscription.replica = self.replicas.use(subscription.channel.key)
                await subscription.replica.ready()
                subscription.check()
            if not subscription.is_caught_up:
                await self._read_history(subscription)
            if subscription.member is not None and subscription.replica is not None:
                await self._list(subscription, subscription.member, subscription.replica)
            elif subscription.member is not None:
                await self._join(subscription, subscription.member)
                self._go_live(subscription)
            else:
                self._go_live(subscription, () if subscription.replica is None else subscription.replica.members)
            subscription.check()
        except BaseException:
            self._tasks.settle(self._end(subscription), "giving up a subscription")
            raise

    async def _read_history(self, subscription: Subscription) -> None:
        limit = 0 if subscription.since is None else self._limits.recovered_publications or None
        for _ in range(MAX_READS):
            catch_up = subscription.catch_up
            if catch_up is None:
                break
            arrivals = catch_up.arrivals
            page = await self._broker.history(*subscription.channel.key, since=subscription.since, limit=limit)
            subscription.check()
            if catch_up.take_page(page, arrivals):
                return
        raise BrokerUnavailable("The history of the channel changes too fast")

    async def _list(self, subscription: Subscription, member: Member, replica: Replica) -> None:
        """List the member; its own join, when it comes over the bus, makes the subscription live."""
        replica.expect(member, lambda members: self._go_live(subscription, members))
        try:
            await self._join(subscription, member)
        except BackendError:
            if subscription.was_live:
                return  # its join has come; only the answer was lost
            raise
        if not subscription.is_joining:
            return
        subscription.listed = asyncio.get_running_loop().create_future()
        replica.confirm(member.connection_id)
        for _ in range(2):
            await asyncio.wait((subscription.listed,), timeout=LISTED_SECONDS)
            if subscription.listed.done():
                return
            replica.refresh()
        raise BrokerUnavailable("The presence of the channel does not answer")

    async def _join(self, subscription: Subscription, member: Member) -> None:
        """From now on the presence manager may know the member."""
        subscription.is_listed = True
        try:
            await self._presence.join(*subscription.channel.key, member, max_members=self._limits.members)
        except LimitExceeded:
            subscription.is_listed = False
            raise

    def _go_live(self, subscription: Subscription, members: tuple[Member, ...] = ()) -> None:
        """The one step between before and after. Never raises; a greeting that does ends the subscription."""
        connection, channel, greet = subscription.connection, subscription.channel, subscription.greet
        if not subscription.is_joining or greet is None:
            return
        is_recovered = None if subscription.since is None else False
        recovery = Recovery(None, is_recovered, (), None)
        if subscription.catch_up is not None:
            recovery = subscription.catch_up.finish()
        if recovery.is_recovered is not None:
            self._hub.statistics.recoveries["recovered" if recovery.is_recovered else "lost"] += 1
        recovered = tuple(filter(subscription.is_for, recovery.publications))
        subscribed = Subscribed(channel.key[1], recovery.position, recovery.is_recovered, recovered, members)
        if not self._greet(subscription, greet, subscribed):
            return
        del channel.newcomers[subscription]
        self._hub.enter(
            connection,
            channel,
            floor=recovery.floor,
            hears_presence=subscription.hears_presence,
            is_listed=subscription.member is not None,
        )
        subscription.state = State.LIVE
        subscription.was_live = True
        subscription.settle()

    def _greet(self, subscription: Subscription, greet: Greet, subscribed: Subscribed) -> bool:
        """Tell the client. False if the subscription did not outlive that."""
        try:
            frames = greet(subscribed)
            if frames:
                self._hub.write(subscription.connection, frames)
        except Exception as error:
            subscription.failure = error
            self._give_up(subscription)
        return subscription.is_joining

    def _give_up(self, subscription: Subscription) -> None:
        self._tasks.settle(self._end(subscription), "giving up a subscription")

    def _end(self, subscription: Subscription, *, is_for_good: bool = False) -> Awaitable[None]:
        """Give back everything. Returns what to await until the others know of a leave. Idempotent."""
        if subscription.state is State.ENDED:
            return DONE
        connection, channel = subscription.connection, subscription.channel
        is_live, subscription.state = subscription.is_live, State.ENDED
        if connection.joined is not None:
            del connection.joined[channel.key[1]]
        if is_live:
            self._hub.leave(connection, channel)
        else:
            del channel.newcomers[subscription]
        outcome = self._leave_presence(subscription, is_for_good=is_for_good)
        if self._claims.release(channel.key):
            self._usage.close_channel(connection.app)
        self._hub.close_unused(channel)
        subscription.settle()
        return outcome

    def _leave_presence(self, subscription: Subscription, *, is_for_good: bool) -> Awaitable[None]:
        key, connection_id = subscription.channel.key, subscription.connection.id
        outcome: Awaitable[None] = DONE
        if subscription.replica is not None:
            subscription.replica.stop_waiting(connection_id)
        if subscription.is_listed:
            if not is_for_good:
                self.replicas.depart(key, connection_id)
            outcome = self._presence.leave(*key, connection_id)
        if subscription.replica is not None:
            self.replicas.release(key)
        return outcome
