"""
A bus with a network that a test holds in its hand: the double for faults and orders that no real one produces at will.

Each call travels to a server that carries calls out in their order; what happens there travels back in one line for
each channel; and the answers to the calls come back whenever the test lets them, before or after what they have caused.
A call can fail before it was carried out or after, and what is on its way back can be lost.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field, replace
from typing import Any

from users_server.core.acceptance import DONE, Accepted
from users_server.core.interfaces import PublicationHandler
from users_server.core.messages import (
    Gap,
    HistoryPage,
    HistoryRule,
    Member,
    Notice,
    PresenceChange,
    PresenceState,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.errors import BrokerUnavailable, LimitExceeded


@dataclass
class ServerChannel:
    """A channel at the server: its log from the beginning, what of that can be read again, and who is there."""

    name: str
    log: list[Publication] = field(default_factory=list)
    kept: list[Publication] = field(default_factory=list)
    top: StreamPosition = field(default_factory=lambda: StreamPosition(0, "e1"))
    epoch_starts: dict[str, int] = field(default_factory=lambda: {"e1": 0})
    members: dict[str, Member] = field(default_factory=dict)
    version: int = 0
    epoch: str = "p1"
    is_brought: bool = False
    back: deque[Publication | PresenceChange | Gap] = field(default_factory=deque)
    brought: int = 0
    arrived: int = 0

    def count_at(self, position: StreamPosition) -> int:
        """How much of the log is up to ``position``."""
        return self.epoch_starts[position.epoch] + position.offset

    def bring(self, item: Publication | PresenceChange | Gap) -> None:
        if self.is_brought:
            self.back.append(item)
            self.brought += 1


@dataclass
class Call:
    """One call on its way: what the server will do, and the answer."""

    what: str
    act: Callable[[], Any]
    answer: asyncio.Future[Any]
    outcome: Any = None
    error: Exception | None = None


class SlowBus:
    """:class:`Broker` and :class:`PresenceManager` of one node."""

    def __init__(self, app: str = "default") -> None:
        self.app = app
        self.channels: dict[str, ServerChannel] = {}
        self.calls: deque[Call] = deque()
        self.answers: list[Call] = []
        self.handler: PublicationHandler | None = None

    def channel(self, name: str) -> ServerChannel:
        return self.channels.setdefault(name, ServerChannel(name))

    # what the node calls

    async def start(self, handler: PublicationHandler) -> None:
        self.handler = handler

    async def stop(self) -> None:
        self.handler = None

    async def check(self) -> None:
        pass

    def subscribe(self, app: str, channel: str) -> Awaitable[None]:
        if channel in ("users", "echo") or _is_of_nodes(channel):
            return DONE
        return self._call(f"subscribe {channel}", lambda: self._set_brought(channel, True))

    def unsubscribe(self, app: str, channel: str) -> None:
        self._call("unsubscribe", lambda: self._set_brought(channel, False))

    def publish(self, publication: Publication, history: HistoryRule | None = None) -> Awaitable[StreamPosition | None]:
        if _is_of_nodes(publication.channel):
            return Accepted(None)
        return self._call("publish", lambda: self.do_publish(publication, history))

    async def history(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        page: HistoryPage = await self._call("history", lambda: self._read(channel, since, limit))
        return page

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        return self._call("revoke", lambda: None)

    def notify(self, notice: Notice) -> Awaitable[None]:
        return self._call("notify", lambda: None)

    def join(self, app: str, channel: str, member: Member, *, max_members: int = 0) -> Awaitable[None]:
        return self._call("join", lambda: self.do_join(channel, member, max_members))

    def leave(self, app: str, channel: str, connection_id: str) -> Awaitable[None]:
        return self._call("leave", lambda: self.do_leave(channel, connection_id))

    async def state(self, app: str, channel: str) -> PresenceState:
        state: PresenceState = await self._call("state", lambda: self._state(channel))
        return state

    # what happens at the server

    def do_publish(self, publication: Publication, history: HistoryRule | None) -> StreamPosition | None:
        channel = self.channel(publication.channel)
        if history is not None:
            channel.top = StreamPosition(channel.top.offset + 1, channel.top.epoch)
            publication = replace(publication, position=channel.top)
            channel.kept = [*channel.kept, publication][-history.size :]
        channel.log.append(publication)
        channel.bring(publication)
        return publication.position

    def do_join(self, name: str, member: Member, max_members: int = 0) -> None:
        channel = self.channel(name)
        if member.connection_id in channel.members:
            return
        if 0 < max_members <= len(channel.members):
            raise LimitExceeded("full")
        is_of_user = all(other.user_id != member.user_id for other in channel.members.values())
        channel.members[member.connection_id] = member
        self._change(channel, member, is_join=True, is_of_user=is_of_user)

    def do_leave(self, name: str, connection_id: str) -> None:
        channel = self.channel(name)
        member = channel.members.pop(connection_id, None)
        if member is not None:
            is_of_user = all(other.user_id != member.user_id for other in channel.members.values())
            self._change(channel, member, is_join=False, is_of_user=is_of_user)

    def lose_history(self, name: str) -> None:
        """The history is gone, and begins again in another epoch; but not twice before the news of it has arrived."""
        channel = self.channel(name)
        if any(isinstance(item, Gap) for item in channel.back):
            return
        channel.kept = []
        channel.top = StreamPosition(0, f"e{int(channel.top.epoch[1:]) + 1}")
        channel.epoch_starts[channel.top.epoch] = len(channel.log)
        channel.bring(Gap(self.app, name, channel.top))

    def lose_presence(self, name: str) -> None:
        """All members are forgotten; this node lists its own again, in another epoch."""
        channel = self.channel(name)
        own = [member for key, member in channel.members.items() if key.startswith("c")]
        channel.members = {}
        channel.version = 0
        channel.epoch = f"p{int(channel.epoch[1:]) + 1}"
        for member in own:
            self.do_join(name, member)
        if self.handler is not None:
            self.handler.handle_interruption()

    def cut(self, name: str, *, is_told: bool) -> None:
        """
        What is on its way back in a channel with history is lost.

        The node is told so by an interruption, or must find by a later change that it knows not who is there.
        """
        channel = self.channel(name)
        channel.arrived += len(channel.back)
        channel.back.clear()
        channel.bring(Gap(self.app, name, channel.top))
        if self.handler is not None and is_told:
            self.handler.handle_interruption()

    def _change(self, channel: ServerChannel, member: Member, *, is_join: bool, is_of_user: bool) -> None:
        channel.version += 1
        channel.bring(
            PresenceChange(self.app, channel.name, member, is_join, is_of_user, channel.version, channel.epoch)
        )

    def _set_brought(self, name: str, is_brought: bool) -> int:
        """What was on its way at this moment, for a former subscription, arrives before the answer."""
        channel = self.channel(name)
        channel.is_brought = is_brought
        return channel.brought

    def _read(self, name: str, since: StreamPosition | None, limit: int | None) -> HistoryPage:
        channel = self.channel(name)
        if since is None:
            kept = channel.kept if limit is None else channel.kept[len(channel.kept) - min(limit, len(channel.kept)) :]
            return HistoryPage(tuple(kept), channel.top)
        missed = channel.top.offset - since.offset
        if since.epoch != channel.top.epoch or not 0 <= missed <= len(channel.kept):
            return HistoryPage((), channel.top, is_complete=False)
        return HistoryPage(tuple(channel.kept[len(channel.kept) - missed :][:limit]), channel.top)

    def _state(self, name: str) -> PresenceState:
        channel = self.channel(name)
        return PresenceState(tuple(channel.members.values()), channel.version, channel.epoch)

    # what the test lets happen

    def _call(self, what: str, act: Callable[[], Any]) -> asyncio.Future[Any]:
        call = Call(what, act, asyncio.get_running_loop().create_future())
        call.answer.add_done_callback(lambda done: done.cancelled() or done.exception())
        self.calls.append(call)
        return call.answer

    def carry_out(self, *, fails: bool = False, answer_is_lost: bool = False) -> None:
        """
        The server does the next call. Leaving and unsubscribing never fail, as no bus may lose them.
        """
        call = self.calls.popleft()
        if fails and call.what not in ("leave", "unsubscribe"):
            call.error = BrokerUnavailable()
        else:
            try:
                call.outcome = call.act()
            except LimitExceeded as error:
                call.error = error
            if answer_is_lost and call.what not in ("leave", "unsubscribe"):
                call.error = BrokerUnavailable()
        self.answers.append(call)

    def answer(self, index: int = 0) -> None:
        """One answer arrives. Must run in the loop."""
        call = self.answers.pop(index)
        if call.what.startswith("subscribe ") and call.outcome is not None:
            name = call.what.removeprefix("subscribe ")
            while self.channel(name).arrived < call.outcome:
                self.deliver(name)
        if call.answer.done():
            return
        if call.error is not None:
            call.answer.set_exception(call.error)
        else:
            call.answer.set_result(call.outcome)

    def deliver(self, name: str) -> None:
        """The next that is on its way back in a channel arrives."""
        handler = self.handler
        item = self.channel(name).back.popleft()
        self.channel(name).arrived += 1
        if handler is None:
            return
        if isinstance(item, Publication):
            handler.handle_publication(item)
        elif isinstance(item, PresenceChange):
            handler.handle_presence(item)
        else:
            handler.handle_gap(item)

    @property
    def is_quiet(self) -> bool:
        return not (self.calls or self.answers or any(channel.back for channel in self.channels.values()))

    async def settle(self) -> None:
        """Let everything arrive that is under way."""
        quiet = 0
        while quiet < 3:
            while self.calls:
                self.carry_out()
            while self.answers:
                self.answer()
            for name, channel in list(self.channels.items()):
                while channel.back:
                    self.deliver(name)
            await breathe()
            quiet = quiet + 1 if self.is_quiet else 0


async def breathe() -> None:
    """Let every task go on as far as it can."""
    for _ in range(12):
        await asyncio.sleep(0)


def _is_of_nodes(channel: str) -> bool:
    """What nodes tell each other is no part of any story here: there is one node."""
    return channel.startswith(" node")
