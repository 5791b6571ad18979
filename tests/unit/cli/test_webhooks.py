"""``webhook …`` on a real database."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from users_server.backends.sqlite import SQLiteStore
from users_server.core.outbox import Announce, Delivery, QueueOutcome

Run = Callable[..., Result]

SINCE = 1_700_000_000_000


@pytest.fixture
def owed(run: Run, folder: Path) -> None:
    """Two apps; of the first one a delivery waits and two were given up."""
    for app_id in ("shop", "other"):
        assert run("app", "create", app_id, "--id", app_id).exit_code == 0

    async def fill() -> None:
        store = SQLiteStore(folder / "users.db")
        await store.open()
        for number, app_id in enumerate(("shop", "shop", "shop", "other")):
            body = json.dumps({"n": number})
            delivery = Delivery(f"id{number}", app_id, f"lobby\x1b[31m{number}", body, SINCE + number)
            await store.write_outbox([Announce(delivery, None, "a node")])
        claims = await store.claim_queues("shop", now=SINCE + 9, until=SINCE + 99, max_queues=2, max_deliveries=1)
        failed = [
            replace(claim.deliveries[0], attempts=3, last_error="The endpoint answered 500", died_on=SINCE + 10)
            for claim in claims
        ]
        await store.settle_queues(
            [QueueOutcome(claim, dead=(dead,)) for claim, dead in zip(claims, failed, strict=True)]
        )
        await store.close()

    asyncio.run(fill())


def ids(run: Run, *arguments: str) -> list[str]:
    result = run("webhook", "list", "--json", *arguments)
    assert result.exit_code == 0, result.output
    return [json.loads(line)["id"] for line in result.stdout.splitlines()]


@pytest.mark.usefixtures("owed")
def test_those_that_wait_and_those_that_were_given_up(run: Run) -> None:
    assert ids(run) == ["id2", "id3"]
    assert ids(run, "--app", "shop") == ["id2"]
    assert ids(run, "--dead") == ["id0", "id1"]
    assert ids(run, "--dead", "--app", "other") == []
    entry = json.loads(run("webhook", "list", "--dead", "--json").stdout.splitlines()[0])
    assert entry == {
        "id": "id0",
        "app": "shop",
        "channel": "lobby\x1b[31m0",
        "createdOn": SINCE,
        "attempts": 3,
        "lastError": "The endpoint answered 500",
        "diedOn": SINCE + 10,
        "body": {"n": 0},
    }
    line = run("webhook", "list", "--dead").stdout.splitlines()[0]
    assert line.split()[:2] == ["id0", "shop"]
    assert line.endswith("2023-11-14 22:13:20    3  The endpoint answered 500")
    assert "\x1b" not in line


@pytest.mark.usefixtures("owed")
def test_some_or_all_are_sent_again(run: Run) -> None:
    assert run("webhook", "replay", "shop", "id1", "id3", "unknown").stdout == "1 to be sent again\n"
    assert ids(run, "--dead") == ["id0"]
    assert run("webhook", "replay", "other", "--all").stdout == "0 to be sent again\n"
    assert run("webhook", "replay", "shop", "--all").stdout == "1 to be sent again\n"
    assert ids(run, "--dead") == []
    assert sorted(ids(run)) == ["id0", "id1", "id2", "id3"]


@pytest.mark.usefixtures("owed")
def test_an_app_takes_its_web_hooks_with_it(run: Run) -> None:
    assert run("app", "remove", "shop", "--yes").exit_code == 0
    assert ids(run) == ["id3"]
    assert ids(run, "--dead") == []


@pytest.mark.usefixtures("owed")
def test_what_cannot_be(run: Run) -> None:
    for arguments in (["shop"], ["shop", "id0", "--all"]):
        result = run("webhook", "replay", *arguments)
        assert (result.exit_code, "Name the ids of web hooks, or --all" in result.stderr) == (2, True)
    for command in (["replay", "nobody", "--all"], ["list", "--app", "nobody"]):
        result = run("webhook", *command)
        assert (result.exit_code, result.stderr) == (1, "Error: The app does not exist\n")
    assert ids(run, "--dead") == ["id0", "id1"]
