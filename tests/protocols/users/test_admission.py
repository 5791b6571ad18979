"""Who may come in to the Users Socket API, and what of others' publications has a form there."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from tests.protocols.users.bench import Bench, Client
from users_server.core.messages import ANONYMOUS
from users_server.errors import (
    AppGone,
    IdentityRefused,
    OriginRefused,
)
from users_server.protocols.base import Admission, Visit

KEY = {"users-api-key": "the api key of the tests"}
MINE = {"origin": "http://mine"}


def visit(headers: dict[str, str] | None = None, query: str = "") -> Visit:
    return Visit({}, query, headers or {}, "127.0.0.1")


@pytest.mark.gen_test
async def test_who_may_come_in(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        admit = bench.protocol.admit
        assert admit(visit(MINE)) == Admission(), "an anonymous client costs no look-up"
        for headers in ({}, {"origin": "http://evil"}, {"users-api-key": "wrong"}):
            with pytest.raises(OriginRefused):
                admit(visit(headers))
        assert (await admit(visit(KEY))).identity.is_trusted
        with pytest.raises(IdentityRefused, match="not valid"):
            await admit(visit(MINE, "token=x"))
        bench.app = replace(bench.app, protocols=("relay",))
        with pytest.raises(AppGone):
            admit(visit(MINE))


@pytest.mark.gen_test
async def test_what_other_protocols_publish_has_no_form_here(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = Client(bench, ANONYMOUS)
        for event, data in (("message", {"a": 1}), ("Echo", "text"), ("Echo", None), ("Echo", [1])):
            await bench.node.publish("default", "echo", event, data)
        bench.tick()
        assert client.sent == []
