"""What one client was told, held against what happened at the server."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

from tests.unit.core.doubles import RecordingTransport
from tests.unit.core.slow_bus import ServerChannel, SlowBus
from users_server.core.connection import Connection
from users_server.core.messages import Gap, Identity, Member, PresenceChange, Publication, StreamPosition
from users_server.core.node import Node
from users_server.core.subscriptions import Subscribed


class FactEncoder:
    """Everything as a line of JSON, so that nothing of it is lost for the test."""

    def encode(self, publication: Publication) -> bytes | None:
        return _line(publication.channel, "publication", publication.event)

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        member = change.member
        return _line(
            change.channel,
            "presence",
            [member.connection_id, member.user_id, member.ref, change.is_join, change.is_of_user],
        )

    def encode_gap(self, gap: Gap) -> bytes | None:
        return _line(gap.channel, "gap", [gap.top.offset, gap.top.epoch])


def _line(channel: str, kind: str, value: Any) -> bytes:
    return json.dumps([channel, kind, value]).encode() + b"\n"


ENCODERS = (FactEncoder(), FactEncoder())


@dataclass
class Period:
    """One live subscription, as its client saw it."""

    subscribed: Subscribed
    since: StreamPosition | None
    log_length: int
    is_member: bool
    hears_presence: bool
    ref: str
    lines: list[tuple[str, Any]] = field(default_factory=list)
    is_over: bool = False


class Witness:
    """A client that remembers what it was told, and checks it."""

    def __init__(self, node: Node, bus: SlowBus, connection_id: str, user_id: str, encoder: FactEncoder) -> None:
        self.node = node
        self.bus = bus
        self.transport = RecordingTransport()
        self.connection = Connection(
            connection_id, Identity(), encoder, self.transport, lambda connection, reason: None, user_id=user_id
        )
        self.greetings: list[Period] = []
        self.is_connected = True
        node.connect(self.connection)

    def member(self, ref: str) -> Member:
        return Member(self.connection.id, self.connection.user_id or "", ref=ref)

    def greeter(
        self, since: StreamPosition | None, *, is_member: bool, hears_presence: bool, ref: str = ""
    ) -> Callable[[Subscribed], bytes]:
        def greet(subscribed: Subscribed) -> bytes:
            log = self.bus.channel(subscribed.channel).log
            self.greetings.append(Period(subscribed, since, len(log), is_member, hears_presence, ref))
            return _line(subscribed.channel, "greeting", len(self.greetings) - 1)

        return greet

    def mark_end(self, channel: str) -> None:
        """From here on the client is not subscribed."""
        self.transport.writes.append(_line(channel, "end", None))

    def last_position(self, channel: str) -> StreamPosition | None:
        """What the client would ask to go on from."""
        position = None
        for period in self.periods(channel):
            position = period.subscribed.position or position
            for kind, value in period.lines:
                if kind == "gap":
                    position = StreamPosition(*value)
                elif kind == "publication":
                    position = _find(self.bus.channel(channel), value)[1].position or position
        return position

    def periods(self, channel: str) -> list[Period]:
        periods: list[Period] = []
        for text in b"".join(self.transport.writes).splitlines():
            name, kind, value = json.loads(text)
            if name != channel:
                continue
            if kind == "greeting":
                assert not periods or periods[-1].is_over, "greeted twice"
                period = self.greetings[value]
                period.lines, period.is_over = [], False
                periods.append(period)
            elif kind == "end":
                if periods:
                    periods[-1].is_over = True
            else:
                assert periods, "told something before the greeting"
                assert not periods[-1].is_over, "told something after the end"
                periods[-1].lines.append((kind, value))
        return periods

    def check(self, *, is_settled: bool) -> None:
        """Whatever was told is right; when everything has arrived, it is also all there is."""
        for channel in self.bus.channels.values():
            for period in self.periods(channel.name):
                is_complete = is_settled and not period.is_over
                if channel.name.startswith("kept"):
                    self._check_kept(channel, period, is_complete)
                else:
                    self._check_plain(channel, period, is_complete)
                self._check_presence(channel, period, is_complete)

    def _sees(self, publication: Publication) -> bool:
        return publication.except_connection != self.connection.id and publication.to_user in (
            None,
            self.connection.user_id,
        )

    def _visible(self, publications: list[Publication]) -> list[str]:
        return [publication.event for publication in publications if self._sees(publication)]

    def _check_kept(self, channel: ServerChannel, period: Period, is_complete: bool) -> None:
        subscribed = period.subscribed
        assert subscribed.position is not None
        count = channel.count_at(subscribed.position)
        recovered = [publication.event for publication in subscribed.recovered]
        if subscribed.is_recovered:
            assert period.since is not None
            assert period.since.epoch == subscribed.position.epoch
            assert recovered == self._visible(channel.log[channel.count_at(period.since) : count])
        else:
            assert recovered == []
            assert (subscribed.is_recovered is None) == (period.since is None)
        for kind, value in period.lines:
            if kind == "gap":
                top = channel.count_at(StreamPosition(*value))
                assert top >= count, "a gap that goes back"
                count = top
            elif kind == "publication":
                index, publication = _find(channel, value)
                assert index >= count, "a repetition"
                assert self._sees(publication)
                assert self._visible(channel.log[count:index]) == [], "something was left out"
                count = index + 1
        if is_complete:
            assert self._visible(channel.log[count:]) == [], "the newest are missing"

    def _check_plain(self, channel: ServerChannel, period: Period, is_complete: bool) -> None:
        assert period.subscribed.position is None
        count: int | None = None
        for kind, value in period.lines:
            assert kind != "gap"
            if kind == "publication":
                index, publication = _find(channel, value)
                assert self._sees(publication)
                assert count is None or index >= count, "a repetition"
                assert self._visible(channel.log[period.log_length if count is None else count : index]) == []
                count = index + 1
        if is_complete:
            assert self._visible(channel.log[period.log_length if count is None else count :]) == []

    def _check_presence(self, channel: ServerChannel, period: Period, is_complete: bool) -> None:
        changes = [value for kind, value in period.lines if kind == "presence"]
        if not period.hears_presence:
            assert changes == []
            assert period.subscribed.members == ()
            return
        there = _by_connection(period.subscribed.members)
        assert not period.is_member or there[self.connection.id] == (self.connection.user_id, period.ref)
        assert len(there) == len(period.subscribed.members)
        for connection_id, user_id, ref, is_join, is_of_user in changes:
            # one that only hears may be told of what it was before
            assert not period.is_member or connection_id != self.connection.id, "told of itself"
            if is_join:
                assert connection_id not in there
                assert is_of_user == (user_id not in _users(there))
                there[connection_id] = (user_id, ref)
            else:
                assert there.pop(connection_id) == (user_id, ref)
                assert is_of_user == (user_id not in _users(there))
        if is_complete:
            assert there == _by_connection(channel.members.values())


def _by_connection(members: Iterable[Member]) -> dict[str, tuple[str, str]]:
    return {member.connection_id: (member.user_id, member.ref) for member in members}


def _users(there: dict[str, tuple[str, str]]) -> set[str]:
    return {user_id for user_id, _ in there.values()}


def _find(channel: ServerChannel, event: str) -> tuple[int, Publication]:
    """Events are unique; they are numbered by where they were published, not by where they stand in the log."""
    for index, publication in enumerate(channel.log):
        if publication.event == event:
            return index, publication
    raise AssertionError(f"nobody published {event}")
