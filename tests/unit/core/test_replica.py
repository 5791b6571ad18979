"""A node's copy of who is in a channel, when changes are lost and when everything is."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

import pytest

from tests.unit.core.slow_bus import breathe
from users_server.core import presence
from users_server.core.messages import Member, PresenceChange, PresenceState
from users_server.core.presence import PresenceSource, Replica
from users_server.core.tasks import Tasks
from users_server.errors import BrokerUnavailable


def member(connection_id: str, user_id: str | None = None, info: str | None = None, ref: str = "") -> Member:
    return Member(connection_id, user_id or connection_id, info, ref)


class Stage:
    """A replica, the state that it reads, and what it has told."""

    def __init__(self, tasks: Tasks, lease_seconds: float) -> None:
        self.state = PresenceState((), 0, "p1")
        self.failures = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.reads = 0
        self.told: list[str] = []
        self.when_told: Callable[[], None] = lambda: None
        self.replica = Replica(PresenceSource("app", "room", self.read, self.tell, lease_seconds), tasks)

    async def read(self) -> PresenceState:
        self.reads += 1
        await self.gate.wait()
        if self.failures:
            self.failures -= 1
            raise BrokerUnavailable
        return self.state

    def tell(self, change: PresenceChange) -> None:
        sign = "+" if change.is_join else "-"
        who = change.member.connection_id + (f"#{change.member.ref}" if change.member.ref else "")
        self.told.append(f"{sign}{'U' if change.is_of_user else ''}{who}")
        self.when_told()

    def change(self, who: Member, version: int, *, is_join: bool = True, epoch: str = "p1") -> None:
        # is_of_user is what the server thinks; what is told must fit what was told before
        self.replica.handle(PresenceChange("app", "room", who, is_join, False, version, epoch))

    def list(self, *members: Member, version: int, epoch: str = "p1") -> None:
        self.state = PresenceState(members, version, epoch)

    def members(self) -> str:
        return " ".join(self.replica._roster.members)


@asynccontextmanager
async def stage(*members: Member, lease_seconds: float = 0.0) -> AsyncIterator[Stage]:
    tasks = Tasks()
    made = Stage(tasks, lease_seconds)
    made.list(*members, version=5)
    await made.replica.ready()
    yield made
    made.replica.close()
    await tasks.close()
    assert len(tasks) == 0


@pytest.mark.gen_test
async def test_changes_are_followed_and_users_counted() -> None:
    async with stage(member("a1", "a")) as s:
        s.change(member("a2", "a"), 6)
        s.change(member("b1", "b"), 7)
        s.change(member("a1", "a"), 8, is_join=False)
        s.change(member("a2", "a"), 9, is_join=False)
        assert s.told == ["+a2", "+Ub1", "-a1", "-Ua2"]
        assert s.members() == "b1"
        assert s.reads == 1


@pytest.mark.gen_test
async def test_what_the_state_holds_already_is_not_told_again() -> None:
    async with stage(member("a")) as s:
        s.change(member("a"), 5)
        s.change(member("b"), 4, is_join=False)
        assert s.told == []


@pytest.mark.gen_test
async def test_a_lost_change_makes_it_read_again_and_tell_the_difference() -> None:
    async with stage(member("a"), member("b")) as s:
        s.list(member("b", info="new"), member("c"), version=9)
        s.gate.clear()
        s.change(member("c"), 8)
        await breathe()
        s.change(member("d"), 10)
        assert s.told == []
        s.gate.set()
        await breathe()
        assert s.told == ["-Ua", "-Ub", "+Ub", "+Uc", "+Ud"]
        assert s.members() == "b c d"


@pytest.mark.gen_test
async def test_a_broker_that_is_away_is_asked_again() -> None:
    async with stage(member("a")) as s:
        s.failures = 3
        s.list(version=9)
        s.change(member("a"), 9, is_join=False)
        await breathe()
        assert (s.told, s.reads) == (["-Ua"], 5)


@pytest.mark.gen_test
async def test_the_first_read_that_fails_is_told_and_the_next_one_is_another() -> None:
    tasks = Tasks()
    s = Stage(tasks, 0.0)
    s.failures = 1
    with pytest.raises(BrokerUnavailable):
        await s.replica.ready()
    await s.replica.ready()
    s.replica.close()
    await tasks.close()


@pytest.mark.gen_test
async def test_more_changes_than_are_kept_are_read_instead(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(presence, "MAX_WAITING_CHANGES", 2)
    async with stage() as s:
        s.replica.refresh()
        for version, name in enumerate("abcd", 6):
            s.change(member(name), version)
        s.list(*map(member, "abcd"), version=9)
        await breathe()
        assert s.told == ["+Ua", "+Ub", "+Uc", "+Ud"]


@pytest.mark.gen_test
async def test_after_a_new_epoch_nobody_is_gone_before_the_lease_has_ended() -> None:
    async with stage(member("mine"), member("back"), member("dead"), lease_seconds=0.05) as s:
        s.list(member("mine"), version=1, epoch="p2")
        s.change(member("mine"), 1, epoch="p2")
        await breathe()
        assert s.told == []
        assert s.members() == "back dead mine"
        s.change(member("back"), 2, epoch="p2")
        s.change(member("new", "dead"), 3, epoch="p2")
        assert s.told == ["+new"]
        gone = asyncio.Event()
        s.when_told = gone.set
        await gone.wait()
        assert s.told == ["+new", "-dead"]
        assert s.members() == "back mine new"


@pytest.mark.gen_test
async def test_who_waits_becomes_live_with_all_members_by_its_own_join() -> None:
    async with stage(member("a")) as s:
        seen: list[str] = []
        s.replica.expect(member("me"), lambda members: seen.append(" ".join(m.connection_id for m in members)))
        s.change(member("b"), 6)
        assert seen == []
        s.change(member("me"), 7)
        s.change(member("c"), 8)
        assert seen == ["a b me"]


@pytest.mark.gen_test
async def test_who_waits_is_found_by_a_read_that_began_after_he_was_listed() -> None:
    async with stage(member("me")) as s:
        seen: list[str] = []
        s.replica.depart("me")  # a former subscription, whose leave is lost as is the new join
        s.replica.expect(member("me"), lambda members: seen.append(" ".join(m.connection_id for m in members)))
        s.replica.refresh()
        await breathe()
        assert seen == []
        s.list(member("me"), member("b"), version=9)
        s.replica.confirm("me")
        await breathe()
        assert seen == ["me b"]


@pytest.mark.gen_test
async def test_who_was_listed_anew_meanwhile_is_told_as_gone_and_come() -> None:
    async with stage(member("a1", "a", ref="1"), member("a2", "a", ref="2"), member("b", ref="3")) as s:
        s.list(member("a2", "a", ref="2"), member("b", ref="5"), member("a1", "a", ref="4"), version=9)
        s.change(member("b", ref="5"), 9)  # does not follow what is known
        await breathe()
        assert sorted(s.told) == ["+Ub#5", "+a1#4", "-Ub#3", "-a1#1"]
        assert s.told.index("-Ub#3") < s.told.index("+Ub#5")
        assert s.told.index("-a1#1") < s.told.index("+a1#4")
        assert s.members() == "a2 b a1"


@pytest.mark.gen_test
async def test_who_was_listed_anew_in_a_new_epoch_is_told_as_gone_and_come() -> None:
    async with stage(member("a", ref="1"), lease_seconds=60.0) as s:
        s.list(member("a", ref="2"), version=1, epoch="p2")
        s.replica.refresh()
        await breathe()
        assert s.told == ["-Ua#1", "+Ua#2"]


@pytest.mark.gen_test
async def test_a_former_time_of_being_listed_makes_nobody_live() -> None:
    async with stage(member("me", ref="1")) as s:
        seen: list[list[str]] = []
        s.replica.expect(member("me", ref="2"), lambda members: seen.append([m.ref for m in members]))
        s.replica.refresh()
        await breathe()
        assert seen == []
        s.change(member("me", ref="1"), 6, is_join=False)
        s.change(member("me", ref="2"), 7)
        assert seen == [["2"]]


@pytest.mark.gen_test
async def test_leaves_that_are_never_seen_are_forgotten_beyond_a_number() -> None:
    async with stage() as s:
        for number in range(presence.MAX_DEPARTING + 5):
            s.replica.depart(str(number))
        assert len(s.replica._departing) == presence.MAX_DEPARTING
