"""``app …`` on a real database."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

from click.testing import Result

Run = Callable[..., Result]


def make(run: Run, *arguments: str) -> dict[str, Any]:
    result = run("app", "create", *arguments, "--json")
    assert result.exit_code == 0, result.output
    made: dict[str, Any] = json.loads(result.stdout)
    return made


def test_an_app_is_made_listed_shown_and_removed(run: Run) -> None:
    made = make(run, "Shop", "--id", "shop", "--protocol", "relay", "--connections", "10", "--publishes", "2.5")
    assert list(made) == ["id", "name", "key", "secret", "apiKey", "webhookKey"]
    assert (made["id"], made["name"]) == ("shop", "Shop")
    assert make(run, "Other")["id"].isdecimal()
    assert run("app", "list").stdout.splitlines()[0].split()[:2] == ["shop", "Shop"]
    assert [json.loads(line)["name"] for line in run("app", "list", "--json").stdout.splitlines()] == ["Shop", "Other"]
    shown = json.loads(run("app", "show", "shop", "--json").stdout)
    assert shown["keys"] == [{"key": made["key"], "createdOn": shown["createdOn"]}]
    assert shown["protocols"] == ["relay"]
    assert shown["limits"] == {"connections": 10, "channels": 0, "messageBytes": 0, "publishesPerSecond": 2.5}
    assert run("app", "remove", "shop", input="n\n").exit_code == 1
    assert run("app", "remove", "shop", "--yes").stdout == "Removed Shop\n"
    assert (run("app", "show", "shop").exit_code, run("app", "show", "shop").stderr) == (
        1,
        "Error: The app does not exist\n",
    )


def test_an_app_is_changed(run: Run) -> None:
    make(run, "Shop", "--id", "shop", "--debug-signatures")
    before = json.loads(run("app", "show", "shop", "--json").stdout)
    assert (before["debugSignatures"], before["isEnabled"]) == (True, True)
    arguments = ("--name", "Market", "--webhook", "https://example.com/hook", "--no-debug-signatures", "--off")
    changed = json.loads(run("app", "change", "shop", *arguments, "--json").stdout)
    told = {
        "name": "Market",
        "webhookEndpoint": "https://example.com/hook",
        "debugSignatures": False,
        "isEnabled": False,
    }
    assert changed == {**before, **told}
    assert "isEnabled:       true" in run("app", "change", "shop", "--on", "--webhook", "").stdout
    again = json.loads(run("app", "show", "shop", "--json").stdout)
    assert again == {**changed, "isEnabled": True, "webhookEndpoint": ""}
    nothing = run("app", "change", "shop")
    assert (nothing.exit_code, "Name something to change" in nothing.stderr) == (2, True)
    assert run("app", "change", "nothing", "--off").exit_code == 1


def test_secrets_are_shown_once(run: Run) -> None:
    made = make(run, "Shop", "--id", "shop")
    for command in (("show", "shop"), ("show", "shop", "--json"), ("list",), ("list", "--json"), ("retire", "shop")):
        output = run("app", *command).output
        assert made["key"] in output
        assert not any(made[name] in output for name in ("secret", "apiKey", "webhookKey")), command


def test_people_are_told_to_keep_them(run: Run) -> None:
    result = run("app", "create", "Shop")
    assert [line.split(":")[0] for line in result.stdout.splitlines()] == [
        "id",
        "name",
        "key",
        "secret",
        "apiKey",
        "webhookKey",
    ]
    assert "only this once" in result.stderr


def test_keys_are_rotated_and_the_old_ones_retired(run: Run) -> None:
    first = make(run, "Shop", "--id", "shop")
    second = json.loads(run("app", "rotate", "shop", "--json").stdout)
    assert list(second) == ["id", "name", "key", "secret", "apiKey"]
    assert [one["key"] for one in json.loads(run("app", "show", "shop", "--json").stdout)["keys"]] == [
        second["key"],
        first["key"],
    ]
    assert run("app", "retire", "shop").stdout == f"The only key of shop is {second['key']}\n"


def test_an_app_of_somebody(run: Run) -> None:
    run("user", "create", "ann", "ann@example.com", "--password-stdin", input="correct horse\n")
    make(run, "Shop", "--id", "shop", "--owner", "ann")
    owner = json.loads(run("user", "list", "--json").stdout)["_id"]
    assert json.loads(run("app", "show", "shop", "--json").stdout)["owner"] == owner
    run("user", "remove", "ann", "--yes")
    assert run("app", "list").stdout == ""


def test_refusals_are_one_line(run: Run) -> None:
    make(run, "Shop", "--id", "shop")
    for arguments, told in (
        (("create", "Shop", "--id", "shop"), "An app with that id already exists"),
        (("create", " "), "The name of an app"),
        (("create", "Shop", "--id", "../x"), "The id of an app"),
        (("create", "Shop", "--owner", "nobody"), "No user exists"),
        (("create", "Shop", "--origin", "("), "Origin 0 is not a regular expression"),
        (("rotate", "nothing"), "The app does not exist"),
        (("remove", "nothing", "--yes"), "The app does not exist"),
    ):
        result = run("app", *arguments)
        assert result.exit_code == 1, result.output
        assert told in result.stderr
        assert len(result.stderr.splitlines()) == 1
