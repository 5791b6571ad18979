"""
What all nodes know together: which channels of an app are occupied, and by how many.

Whoever asks puts one question to all nodes and adds up what comes back. Each node gives the first names that it has
after those that are known already, so many as were asked for: then the first so many of the union are right, each with
the subscriptions of every node that answered.
"""

from __future__ import annotations

import asyncio
import heapq
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from users_server.core.channels import ChannelLimits, check_name, is_system_channel
from users_server.core.hub import Hub
from users_server.core.messages import JSON
from users_server.core.neighbours import ANSWER_SECONDS, GONE, Neighbours
from users_server.errors import InvalidValue, Overloaded

SURVEY, SURVEY_ANSWER = "survey", "survey_answer"

MAX_SURVEYS = 100
"""Surveys that this node makes at the same time."""

MAX_CHANNELS = 1_000
"""Channels in one answer."""


@dataclass(frozen=True, slots=True)
class ChannelSurvey:
    """
    Occupied channels of one app, on all nodes.

    Attributes:
        channels: Names in the order of their code points, each with how many connections are subscribed to it.
        is_complete: False if a living node did not answer in time: then channels and subscriptions may be missing.
        has_more: Whether there are channels behind the last one.
    """

    channels: tuple[tuple[str, int], ...]
    is_complete: bool
    has_more: bool


NOTHING = ChannelSurvey((), is_complete=True, has_more=False)


@dataclass(frozen=True, slots=True)
class _Question:
    """Which channels; with ``name`` that one alone."""

    app: str
    name: str | None
    prefix: str
    after: str
    limit: int

    @classmethod
    def read(cls, data: Mapping[str, Any]) -> _Question:
        """From a message. Raises :class:`ValueError` and its kind if it is none."""
        app, name, prefix, after, limit = data["question"]
        return cls(str(app), None if name is None else str(name), str(prefix), str(after), int(limit))

    def write(self) -> list[JSON]:
        return [self.app, self.name, self.prefix, self.after, self.limit]


class _Survey:
    """A question that is being answered."""

    def __init__(self, missing: set[str], limit: int) -> None:
        self.limit = limit
        self.missing = missing
        self.answered: set[str] = set()
        self.counts: Counter[str] = Counter()
        self.has_more = False
        self.changed = asyncio.Event()

    def add(self, channels: Iterable[tuple[str, int]], has_more: bool) -> None:
        """What one node has."""
        for name, count in channels:
            self.counts[name] += count
        self.has_more = self.has_more or has_more

    def settle(self, neighbour: str) -> None:
        """There is nothing more to be expected from ``neighbour``."""
        self.answered.add(neighbour)
        self.missing.discard(neighbour)
        self.changed.set()

    def result(self, *, is_complete: bool) -> ChannelSurvey:
        names = heapq.nsmallest(self.limit, self.counts)
        has_more = self.has_more or len(self.counts) > len(names)
        return ChannelSurvey(tuple((name, self.counts[name]) for name in names), is_complete, has_more)


class Surveys:
    """Asks, and answers for this node."""

    def __init__(self, neighbours: Neighbours, hub: Hub, limits: ChannelLimits) -> None:
        self._neighbours = neighbours
        self._hub = hub
        self._limits = limits
        self._occupied: dict[str, dict[str, None]] = {}
        """Of each app, the channels that a client could name and that have a subscriber here."""
        self._surveys: dict[int, _Survey] = {}
        self._number = 0
        hub.observe_occupancy(self._observe)
        neighbours.on(SURVEY, self._handle_question)
        neighbours.on(SURVEY_ANSWER, self._handle_answer)
        neighbours.on(GONE, self._handle_gone)

    async def channels(self, app: str, *, prefix: str = "", after: str = "", limit: int = 100) -> ChannelSurvey:
        """
        The app's occupied channels on all nodes, but for the system channels, in the order of their names.

        All nodes are asked; one that is alive but does not answer within a second is left out. What changes meanwhile
        may be in it or not.

        Args:
            prefix: What the names begin with.
            after: The name behind which to begin: the last one of the page before.
            limit: 1 to :data:`MAX_CHANNELS`.

        Raises:
            InvalidValue: For an argument that can be none.
            BrokerUnavailable, Overloaded: The others cannot be asked now.
        """
        if not 1 <= limit <= MAX_CHANNELS:
            raise InvalidValue(f"From 1 to {MAX_CHANNELS} channels can be asked for at once")
        for text in (prefix, after):
            if len(text.encode(errors="replace")) > self._limits.name_bytes:
                raise InvalidValue(f"The name of a channel has {self._limits.name_bytes} bytes at most")
            if not text.isprintable():
                raise InvalidValue("The name of a channel has no control characters")
        return await self._ask(_Question(app, None, prefix, after, limit))

    async def channel(self, app: str, name: str) -> ChannelSurvey:
        """As :meth:`channels`, one channel alone; none if it is not occupied, or is a system channel."""
        check_name(name, self._limits)
        return NOTHING if is_system_channel(app, name) else await self._ask(_Question(app, name, "", "", 1))

    async def _ask(self, question: _Question) -> ChannelSurvey:
        if len(self._surveys) >= MAX_SURVEYS:
            raise Overloaded("Too many surveys of channels are being made; please try again later")
        self._number += 1
        number = self._number
        survey = self._surveys[number] = _Survey(self._neighbours.alive(), question.limit)
        try:
            survey.add(*self._local(question))
            await self._neighbours.tell_all(SURVEY, {"number": number, "question": question.write()})
            await self._wait(survey)
        finally:
            del self._surveys[number]
        return survey.result(is_complete=not survey.missing and self._neighbours.are_known())

    async def _wait(self, survey: _Survey) -> None:
        """Return when everybody has answered whose answer is waited for, or in due time."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS):
                while seconds := self._neighbours.settling_seconds():
                    await asyncio.sleep(seconds)
                    survey.missing |= self._neighbours.alive() - survey.answered
                while survey.missing:
                    survey.changed.clear()
                    await survey.changed.wait()
        except TimeoutError:
            return

    def _local(self, question: _Question) -> tuple[list[tuple[str, int]], bool]:
        """What this node has, and whether it has more."""
        app, limit = question.app, min(question.limit, MAX_CHANNELS)
        occupied = self._occupied.get(app, {})
        if question.name is not None:
            names = [question.name] if question.name in occupied else []
        else:
            prefix, after = question.prefix, question.after
            names = heapq.nsmallest(limit + 1, (name for name in occupied if name > after and name.startswith(prefix)))
        counted = [(name, self._hub.subscriber_count((app, name))) for name in names[:limit]]
        return counted, len(names) > limit

    def _observe(self, app: str, channel: str, is_occupied: bool) -> None:
        if channel.startswith(" ") or is_system_channel(app, channel):
            return
        if is_occupied:
            self._occupied.setdefault(app, {})[channel] = None
            return
        names = self._occupied[app]
        del names[channel]
        if not names:
            del self._occupied[app]

    def _handle_question(self, sender: str, data: Mapping[str, JSON]) -> None:
        if sender == self._neighbours.id:
            return
        try:
            question = _Question.read(data)
        except (KeyError, TypeError, ValueError):
            return  # of another version; the one who asks finds that this node did not answer
        channels, has_more = self._local(question)
        self._neighbours.tell(
            sender, SURVEY_ANSWER, {"number": data.get("number"), "channels": channels, "has_more": has_more}
        )

    def _handle_answer(self, sender: str, data: Mapping[str, JSON]) -> None:
        number = data.get("number")
        survey = self._surveys.get(number) if isinstance(number, int) else None
        if survey is None or sender in survey.answered:
            return
        try:
            channels = [(str(name), int(count)) for name, count in data["channels"][: survey.limit]]
        except (KeyError, TypeError, ValueError):
            return
        survey.add(channels, bool(data.get("has_more")))
        survey.settle(sender)

    def _handle_gone(self, sender: str, data: Mapping[str, JSON]) -> None:
        for survey in self._surveys.values():
            survey.settle(sender)
