"""Who is there, as Phoenix tells it (phoenix-protocol.md, 6)."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.jwp.bench import APP, LISTED, OK, Bench, Client
from users_server.core.channels import ChannelLimits
from users_server.core.connection import Connection
from users_server.core.messages import ANONYMOUS, Member, PresenceState
from users_server.protocols.jwp.presence import UNSAFE_KEYS, diff_of, presence_of

TOPIC = f"jwp:{APP}:lobby"


async def listed(bench: Bench, socket_id: str, **options: Any) -> tuple[Client, list[Any]]:
    client = await bench.connect(socket_id)
    return client, await client.join(options={**LISTED, **options}, meta={"name": socket_id})


def refs(keys: dict[str, Any]) -> dict[str, list[str]]:
    return {key: [meta["phx_ref"] for meta in entry["metas"]] for key, entry in keys.items()}


@pytest.mark.gen_test
async def test_two_users(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann, greeting = await listed(bench, "ann")
        reply, state, own = greeting
        assert reply == ["1", "1", TOPIC, "phx_reply", OK]
        assert state == ["1", None, TOPIC, "presence_state", {}]
        assert own[:4] == [None, None, TOPIC, "presence_diff"]
        ref = own[4]["joins"]["ann"]["metas"][0]["phx_ref"]
        ann_state = {"ann": {"metas": [{"name": "ann", "phx_ref": ref}]}}
        assert own[4] == {"joins": ann_state, "leaves": {}}
        assert len(ref) == 16
        bob, (_, state, own) = await listed(bench, "bob")
        assert state[4] == ann_state
        (heard,) = ann.take()
        assert heard == own
        bob.leave()
        assert ann.take() == [[None, None, TOPIC, "presence_diff", {"joins": {}, "leaves": own[4]["joins"]}]]


@pytest.mark.gen_test
async def test_two_tabs_are_one_key_with_two_metas(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher, _ = await listed(bench, "watcher", presence_track=False)
        first, _ = await listed(bench, "ann")
        second, _ = await listed(bench, "ann")
        joins = [refs(message[4]["joins"])["ann"] for message in watcher.take()]
        assert len(joins) == 2
        assert joins[0] != joins[1]
        _, (_, state, _) = await listed(bench, "bob")
        assert refs(state[4]) == {"ann": joins[0] + joins[1]}
        watcher.take()
        first.leave()
        assert refs(watcher.take()[0][4]["leaves"]) == {"ann": joins[0]}
        await second.say([None, "9", TOPIC, "phx_leave", {}])
        assert refs(watcher.take()[0][4]["leaves"]) == {"ann": joins[1]}


@pytest.mark.gen_test
async def test_a_rejoin_on_one_connection_is_a_leave_and_a_join(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher, _ = await listed(bench, "watcher", presence_track=False)
        ann, (_, _, own) = await listed(bench, "ann")
        watcher.take()
        closed, reply, state, again = await ann.join("lobby", "7", options=LISTED, meta={"name": "ann"})
        assert (closed[3], reply[4], state[:4]) == ("phx_close", OK, ["7", None, TOPIC, "presence_state"])
        assert state[4] == {}
        heard = watcher.take()
        assert [message[4] for message in heard] == [{"joins": {}, "leaves": own[4]["joins"]}, again[4]]
        assert refs(again[4]["joins"]) != refs(own[4]["joins"])


@pytest.mark.gen_test
async def test_who_goes_while_a_newcomer_is_greeted_is_no_ghost(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with Bench(tmp_path) as bench:
        plain = await bench.connect("plain")
        await plain.join(options={"presence_track": True})
        bob, carol = await bench.connect("bob"), await bench.connect("carol")
        await bob.join(options={"presence_track": True})
        presence = bench.node._subscribing._presence
        read, has_read, may_answer = presence.state, asyncio.Event(), asyncio.Event()

        async def slow(app: str, channel: str) -> PresenceState:
            state = await read(app, channel)
            has_read.set()
            await may_answer.wait()
            return state

        monkeypatch.setattr(presence, "state", slow)
        ann = await bench.connect("ann")
        joining = ann.start(ann.join_message("lobby", options=LISTED))
        assert joining is not None
        await has_read.wait()
        bob.leave()
        await carol.join(options={"presence_track": True})
        may_answer.set()
        await joining
        there: set[str] = set()
        for message in ann.take():
            if message[3] == "presence_state":
                there = set(message[4])
            elif message[3] == "presence_diff":
                there = (there | set(message[4]["joins"])) - set(message[4]["leaves"])
        assert there == {"plain", "carol", "ann"}


@pytest.mark.gen_test
async def test_options_are_apart(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        plain = await bench.connect("plain")
        assert len(await plain.join()) == 1
        mute, greeting = await listed(bench, "mute", presence_diffs=False)
        assert [message[3] for message in greeting] == ["phx_reply"]
        watcher, (_, state) = await listed(bench, "watcher", presence_track=False)
        assert list(state[4]) == ["mute"]
        await listed(bench, "ann")
        assert (plain.take(), mute.take()) == ([], [])
        assert [list(message[4]["joins"]) for message in watcher.take()] == [["ann"]]


@pytest.mark.gen_test
async def test_meta_is_empty_where_there_is_none(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        for number, data in enumerate(
            ('{"options":{"presence_track":true}}', '{"meta":null,"options":{"presence_track":true}}')
        ):
            client = await bench.connect(f"user:{number}")
            await client.join(data=data)
        _, (_, state) = await listed(bench, "watcher", presence_track=False)
        assert [list(entry["metas"][0]) for entry in state[4].values()] == [["phx_ref"], ["phx_ref"]]


@pytest.mark.gen_test
async def test_nobody_lends_his_ref(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect("ann")
        (_, _, own) = await ann.join(options=LISTED, meta={"phx_ref": "stolen", "a": 1})
        (meta,) = own[4]["joins"]["ann"]["metas"]
        assert meta["a"] == 1
        assert meta["phx_ref"] != "stolen"


@pytest.mark.parametrize("key", sorted(UNSAFE_KEYS))
@pytest.mark.gen_test
async def test_keys_that_break_old_clients_are_not_listed(tmp_path: Path, key: str) -> None:
    async with Bench(tmp_path) as bench:
        _, greeting = await listed(bench, key)
        assert [message[3] for message in greeting] == ["phx_reply", "presence_state", "jwp_system"]
        assert greeting[2][0] == "1"
        assert greeting[2][4]["type"] == "error"
        assert (await bench.node.members(APP, "lobby")).members == ()


@pytest.mark.gen_test
async def test_a_full_presence(tmp_path: Path) -> None:
    async with Bench(tmp_path, limits=ChannelLimits(members=1)) as bench:
        ann, _ = await listed(bench, "ann")
        bob, greeting = await listed(bench, "bob")
        assert [message[3] for message in greeting] == ["phx_reply", "presence_state", "jwp_system"]
        assert list(greeting[1][4]) == ["ann"]
        await bench.push("hello", {})
        assert len(bob.take()) == len(ann.take()) == 1
        bob.leave()
        assert ann.take() == []


@pytest.mark.gen_test
async def test_a_meta_that_is_too_large(tmp_path: Path) -> None:
    async with Bench(tmp_path, max_meta_bytes=20) as bench:
        ann = await bench.connect("ann")
        greeting = await ann.join(options=LISTED, meta={"name": "x" * 20})
        assert [message[3] for message in greeting] == ["phx_reply", "presence_state", "jwp_system"]
        assert "20 bytes" in greeting[2][4]["message"]


@pytest.mark.gen_test
async def test_members_of_other_protocols(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        watcher, _ = await listed(bench, "watcher", presence_track=False)
        others = []
        for user_id, info in (("7", {"name": "Ann"}), ("8", None), ("__proto__", {"name": "x"})):
            connection = Connection(
                f"other-{user_id}", ANONYMOUS, watcher.receiver._place.encoder, watcher, _close, app=APP
            )
            bench.node.connect(connection)
            member = Member(connection.id, user_id, info)
            await bench.node.subscribe(connection, "lobby", lambda _: None, member=member)
            others.append(connection)
        heard = [message[4]["joins"] for message in watcher.take() if message[3] == "presence_diff"]
        metas = {key: entry["metas"][0] for joins in heard for key, entry in joins.items()}
        assert sorted(metas) == ["7", "8"]
        assert metas["7"]["name"] == "Ann"
        assert len({meta["phx_ref"] for meta in metas.values()}) == 2
        _, (_, state) = await listed(bench, "late", presence_track=False)
        assert {key: entry["metas"][0] for key, entry in state[4].items()} == metas


def test_forms() -> None:
    members = [Member("c1", "a", {"n": 1}, "r1"), Member("c2", "b", [1], "r2"), Member("c3", "a", None, "r3")]
    assert presence_of(members) == {
        "a": {"metas": [{"n": 1, "phx_ref": "r1"}, {"phx_ref": "r3"}]},
        "b": {"metas": [{"phx_ref": "r2"}]},
    }
    assert diff_of(members[1], is_join=False) == {"joins": {}, "leaves": {"b": {"metas": [{"phx_ref": "r2"}]}}}
    assert diff_of(Member("c", "constructor"), is_join=True) is None


def _close(*_: object) -> None:
    """A connection without a link."""
