"""Event 9, MetaRequest: its four forms, and who may use them."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import API_KEY
from tests.wire.people import ADMINS, People, Person, make_token

REFUSED = "You do not have permission to make this request"


@pytest.fixture(scope="module")
def owner(people: People) -> Person:
    return people()


@pytest.fixture
def client(owner: Person) -> Iterator[RawClient]:
    """The owner's, with nothing kept yet."""
    with owner.connect() as opened:
        assert opened.ask(eventType=9, val={}) == {"eventType": 9, "val": {}}
        yield opened


def test_the_four_forms(client: RawClient) -> None:
    assert client.ask(eventType=9) == {"eventType": 9, "val": {}}
    assert client.ask(eventType=9, val={"a": 1, "b": [True]})["val"] == {"a": 1, "b": [True]}
    assert client.ask(eventType=9) == {"eventType": 9, "val": {"a": 1, "b": [True]}}
    assert client.ask(eventType=9, property="a") == {"eventType": 9, "property": "a", "val": 1}
    assert client.ask(eventType=9, property="a", val="two") == {"eventType": 9, "property": "a", "val": "two"}
    assert client.ask(eventType=9)["val"] == {"a": "two", "b": [True]}
    assert client.ask(eventType=9, val={})["val"] == {}
    assert client.ask(eventType=9)["val"] == {}


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        False,
        0,
        -1,
        1.5,
        2**53,
        "",
        "text",
        "漢字 \u0000",
        [],
        [1, [2, {"x": None}]],
        {},
        {"a.b": 1, "$c": 2},
    ],
    ids=json.dumps,
)
def test_any_json_is_kept_as_it_is(client: RawClient, value: Any) -> None:
    assert client.ask(eventType=9, property="p", val=value) == {"eventType": 9, "property": "p", "val": value}
    found = client.ask(eventType=9, property="p")
    assert found == {"eventType": 9, "property": "p", "val": value}
    assert type(found["val"]) is type(value)
    assert client.ask(eventType=9)["val"] == {"p": value}


@pytest.mark.parametrize(
    "name", ["a.b", "$set", "__proto__", "", " ", "constructor", "имя", "x" * 200, "../../etc", "'; --"]
)
def test_property_names_are_only_names(client: RawClient, name: str) -> None:
    client.ask(eventType=9, val={"kept": 1})
    assert client.ask(eventType=9, property=name, val="set") == {"eventType": 9, "property": name, "val": "set"}
    assert client.ask(eventType=9, property=name)["val"] == "set"
    assert client.ask(eventType=9)["val"] == {"kept": 1, name: "set"}


def test_a_property_that_is_not_there(client: RawClient) -> None:
    answer = client.ask(eventType=9, property="nothing")
    assert answer["eventType"] == 9
    assert answer["property"] == "nothing"
    assert ("val" in answer) != ("error" in answer)
    assert answer.get("val") is None


@pytest.mark.parametrize("value", [5, "text", [1], True], ids=json.dumps)
def test_the_whole_must_be_an_object(client: RawClient, value: Any) -> None:
    client.ask(eventType=9, val={"kept": 1})
    answer = client.ask(eventType=9, val=value)
    assert "error" in answer or answer["eventType"] == 11
    assert client.ask(eventType=9)["val"] == {"kept": 1}


def test_oneself_by_name(client: RawClient, owner: Person) -> None:
    for name in (owner.username, owner.username.upper(), owner.email):
        assert client.ask(eventType=9, username=name, property="by", val=name) == {
            "eventType": 9,
            "username": name,
            "property": "by",
            "val": name,
        }


def test_extra_fields_are_never_echoed(client: RawClient) -> None:
    answer = client.ask(eventType=9, property="a", val=1, error="forged", extra="x", message="y")
    assert answer == {"eventType": 9, "property": "a", "val": 1}


def test_others_may_not(people: People, owner: Person, client: RawClient) -> None:
    client.ask(eventType=9, val={"mine": 1})
    stranger = f"/?token={make_token(people.register().username)}"
    client.events_until_echo("the stranger has a bucket")
    with people.server.connect(stranger) as other, people.server.connect() as anonymous:
        for asker in (other, anonymous):
            for form in ({}, {"property": "mine"}, {"property": "mine", "val": 2}, {"val": {}}):
                answer = asker.ask(eventType=9, username=owner.username, **form)
                assert answer["error"] == REFUSED
                assert "val" not in answer
        for form in ({}, {"property": "x"}, {"property": "x", "val": 2}, {"val": {}}):
            assert anonymous.ask(eventType=9, **form)["error"] == REFUSED
        assert other.ask(eventType=9, username="NobodyAtAll")["error"] == REFUSED, "nor does it tell who exists"
    assert client.ask(eventType=9)["val"] == {"mine": 1}


def every_power(people: People) -> Iterator[RawClient]:
    """Connections that may see everybody's meta data."""
    trusted = {"users-api-key": API_KEY}
    yield people.server.connect(cookie=people.admin.cookie)
    yield people(privileges=ADMINS).connect()
    yield people.server.connect(origin=None, headers=trusted)
    yield people.server.connect(f"/?token={make_token('a-service', scope='events:emit')}")


def test_admins_and_trusted_connections_may(people: People, owner: Person) -> None:
    for number, power in enumerate(every_power(people)):
        with power:
            name = owner.username
            answer = power.ask(eventType=9, username=name, property=f"p{number}", val=number)
            assert answer == {"eventType": 9, "username": name, "property": f"p{number}", "val": number}
            assert power.ask(eventType=9, username=name, property=f"p{number}")["val"] == number
            assert power.ask(eventType=9, username=name)["val"][f"p{number}"] == number
            assert power.ask(eventType=9, username="NobodyAtAll")["error"]
            assert power.ask(eventType=9, username=name, val={})["val"] == {}


@pytest.mark.parametrize("username", ["", "not a name!", "a@b", "../x", "'", "x" * 5000])
def test_names_that_nobody_can_have(people: People, username: str) -> None:
    with people.server.connect(headers={"users-api-key": API_KEY}) as power:
        answer = power.ask(eventType=9, username=username)
        assert answer.get("error") or answer["eventType"] == 11
        assert power.ask(eventType=10, message="alive")["message"] == "alive"


def test_a_trusted_connection_without_a_name_means_nobody(people: People) -> None:
    with people.server.connect(headers={"users-api-key": API_KEY}) as power:
        assert "val" not in power.ask(eventType=9)


def test_http_shows_the_same(client: RawClient, owner: Person) -> None:
    client.ask(eventType=9, val={"colour": "green"})
    assert owner.http.get(f"/users/{owner.username}/meta").body == {"colour": "green"}
    assert owner.http.get(f"/users/{owner.username}/meta/colour").body == "green"


def test_two_writers_lose_nothing(owner: Person, client: RawClient) -> None:
    first = client
    with owner.connect() as second:
        for number in range(30):
            first.send_event(eventType=9, property=f"first{number}", val=number)
            second.send_event(eventType=9, property=f"second{number}", val=number)
        for _ in range(30):
            assert "error" not in first.read_event()
            assert "error" not in second.read_event()
        assert len(first.ask(eventType=9)["val"]) == 60


def test_a_broadcast_does_not_carry_meta_data(connect: Callable[..., RawClient], client: RawClient) -> None:
    witness = connect()
    client.ask(eventType=9, property="secret", val="value", broadcast=True)
    assert witness.events_until_echo("mark") == []
