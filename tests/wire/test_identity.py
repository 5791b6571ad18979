"""users-socket-api.md, Connecting: who the client is. What it is told of itself is its own meta data."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import API_KEY, EVIL_ORIGIN, ServerProcess
from tests.wire.people import People, Person, make_token

REFUSED = "You do not have permission to make this request"


@pytest.fixture(scope="module")
def alice(people: People) -> Person:
    person = people()
    with person.connect() as client:
        assert client.ask(eventType=9, val={"name": "alice"})["val"] == {"name": "alice"}
    return person


def who_am_i(client: RawClient) -> Any:
    """The meta data of whoever this is; :obj:`None` for nobody."""
    answer = client.ask(eventType=9)
    if "error" in answer:
        assert answer == {"eventType": 9, "error": REFUSED}
        return None
    return answer["val"]


def test_nobody(connect: Callable[..., RawClient]) -> None:
    client = connect()
    assert who_am_i(client) is None
    assert client.ask(eventType=10, message="anonymous")["message"] == "anonymous"


def test_the_cookie(connect: Callable[..., RawClient], alice: Person) -> None:
    assert who_am_i(connect(cookie=alice.http.cookie)) == {"name": "alice"}


@pytest.mark.parametrize("cookie", ["unknown", "a" * 43, "%22%00", '""', "x" * 3000])
def test_a_cookie_that_nobody_has_is_anonymous(connect: Callable[..., RawClient], cookie: str) -> None:
    assert who_am_i(connect(cookie=cookie)) is None


def test_a_cookie_among_others(connect: Callable[..., RawClient], alice: Person) -> None:
    headers = {"Cookie": f"theme=dark; SID={alice.http.cookie}; other=1"}
    assert who_am_i(connect(headers=headers)) == {"name": "alice"}


def test_the_cookie_does_not_approve_an_origin(connect: Callable[..., RawClient], alice: Person) -> None:
    assert connect(cookie=alice.http.cookie, origin=EVIL_ORIGIN).expect_close(1008)


def test_a_token_that_the_server_made(connect: Callable[..., RawClient], alice: Person) -> None:
    answer = alice.http.request("POST", "/tokens", {})
    assert answer.status in (200, 201), answer
    token = answer.body["token"]
    assert who_am_i(connect(path=f"/?token={token}")) == {"name": "alice"}
    assert who_am_i(connect(headers={"Authorization": f"Bearer {token}"})) == {"name": "alice"}
    assert who_am_i(connect(headers={"Authorization": f"bearer {token}"})) == {"name": "alice"}


@pytest.mark.parametrize("where", ["query", "header"])
def test_a_token_of_the_same_key(connect: Callable[..., RawClient], alice: Person, where: str) -> None:
    token = make_token(alice.username)
    client = connect(path=f"/?token={token}") if where == "query" else connect(headers=bearer(token))
    assert who_am_i(client) == {"name": "alice"}


def bearer(token: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}"}


def flipped(token: str) -> str:
    head, body, signature = token.split(".")
    return f"{head}.{body}.{'A' if signature[0] != 'A' else 'B'}{signature[1:]}"


def altered(token: str) -> str:
    """The claims of another person under the old signature."""
    head, _, signature = token.split(".")
    claims = json.dumps({"sub": "chief", "exp": time.time() + 600, "iss": "users-server", "aud": "users-server"})
    return f"{head}.{base64.urlsafe_b64encode(claims.encode()).decode().rstrip('=')}.{signature}"


BAD_TOKENS = {
    "expired": lambda name: make_token(name, exp=time.time() - 120),
    "without-expiry": lambda name: make_token(name, exp=None),
    "from-the-future": lambda name: make_token(name, iat=time.time() + 3600, nbf=time.time() + 3600),
    "another-key": lambda name: make_token(name, key="a key that the server does not have, long"),
    "unknown-kid": lambda name: make_token(name, kid="another"),
    "another-issuer": lambda name: make_token(name, iss="somebody"),
    "another-audience": lambda name: make_token(name, aud="others"),
    "no-audience": lambda name: make_token(name, aud=None),
    "without-subject": lambda name: make_token(name, sub=None),
    "unsigned": lambda name: make_token(name, key=""),
    "unsigned-with-kid-of-another-form": lambda name: make_token(name, key="", kid=None),
    "flipped": lambda name: flipped(make_token(name)),
    "altered": lambda name: altered(make_token(name)),
    "an-ended-session": lambda name: make_token(name, sid="0" * 24),
    "an-unknown-user": lambda name: make_token("nobody"),
    "not-a-token": lambda name: "nonsense",
    "dots": lambda name: "..",
    "long": lambda name: "a." * 2000,
}


@pytest.mark.parametrize("make", BAD_TOKENS.values(), ids=BAD_TOKENS.keys())
@pytest.mark.parametrize("where", ["query", "header"])
def test_bad_tokens_are_refused(
    connect: Callable[..., RawClient], alice: Person, make: Callable[[str], str], where: str
) -> None:
    token = make(alice.username)
    client = connect(path=f"/?token={token}") if where == "query" else connect(headers=bearer(token))
    assert client.expect_close(4401)


def test_a_bad_token_is_refused_beside_a_good_cookie(connect: Callable[..., RawClient], alice: Person) -> None:
    assert connect(cookie=alice.http.cookie, path="/?token=nonsense").expect_close(4401)


def test_the_origin_is_looked_at_before_the_token(connect: Callable[..., RawClient], alice: Person) -> None:
    assert connect(origin=EVIL_ORIGIN, path="/?token=nonsense").expect_close(1008)
    assert connect(origin=EVIL_ORIGIN, path=f"/?token={make_token(alice.username)}").expect_close(1008)


def test_the_api_key_beside_a_cookie_keeps_the_person(connect: Callable[..., RawClient], alice: Person) -> None:
    client = connect(cookie=alice.http.cookie, origin=None, headers={"users-api-key": API_KEY})
    assert who_am_i(client) == {"name": "alice"}


def test_tokens_and_keys_are_not_logged(any_server: ServerProcess, alice: Person) -> None:
    secrets = [make_token(alice.username), str(alice.http.cookie), API_KEY, alice.password]
    with any_server.connect(f"/?token={secrets[0]}", cookie=secrets[1], headers={"users-api-key": API_KEY}) as client:
        who_am_i(client)
        client.send_frame(3)
        client.expect_close(1002)
    for secret in secrets:
        assert secret not in any_server.log


def test_without_keys_every_token_is_refused(launch: Callable[..., ServerProcess], is_tls: bool) -> None:
    server = launch(tls=is_tls, tokens={"keys": []})
    with server.connect(f"/?token={make_token('chief')}") as client:
        assert client.expect_close(4401)
