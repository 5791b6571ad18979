"""Who may connect to the relay, and to which app's channels: the token says it all."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.protocols.relay.bench import ADMIN, SECRET, Bench
from users_server import errors
from users_server.core.apps import AppLimits
from users_server.core.messages import StreamPosition
from users_server.protocols.relay import errors as own
from users_server.protocols.relay.errors import CLOSE_CODES, ERROR_CODES
from users_server.services.apps import AppDraft

INVALID = (4401, "The token is not valid")
OTHER_SECRET = "another secret, that is longer than thirty-two bytes"


def unsigned(**header: Any) -> str:
    """A token that is sound but for its signature, which is empty."""

    def part(value: Any) -> str:
        return base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=").decode()

    claims = {"id": 7, "name": "Ann", "channel": "chat:1", "iat": 0, "exp": 9_999_999_999}
    return f"{part({'typ': 'JWT', **header})}.{part(claims)}."


@pytest.mark.gen_test
async def test_a_good_token(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        admission = await bench.admit(bench.token(7, "Ann", "chat:room1"))
        assert admission.app == "default"
        assert admission.identity.expires_at == bench.clock.now_ms() / 1000 + 60
        assert admission.identity.user_id is None
        assert not admission.identity.is_trusted
        assert not admission.identity.is_authenticated


@pytest.mark.gen_test
@pytest.mark.parametrize("token", [None, "", "x", "a.b.c", "é", "." * 9000])
async def test_no_token_and_what_is_none(tmp_path: Path, token: str | None) -> None:
    async with Bench(tmp_path) as bench:
        code, reason = await bench.refusal(token)
        assert code == 4401
        assert reason


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "changes",
    [
        {"secret": OTHER_SECRET},
        {"algorithm": "HS512"},
        {"algorithm": "HS384"},
        {"exp": None},
        {"exp": "soon"},
        {"exp": float("inf")},
        {"exp": True},
        {"iat": 99_999_999_999},
        {"iat": "now"},
        {"nbf": 99_999_999_999},
    ],
)
async def test_bad_tokens(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with Bench(tmp_path) as bench:
        assert await bench.refusal(bench.token(**changes)) == INVALID


@pytest.mark.gen_test
@pytest.mark.parametrize("algorithm", ["none", "None", "HS256", "RS256"])
async def test_a_token_that_nobody_has_signed(tmp_path: Path, algorithm: str) -> None:
    async with Bench(tmp_path) as bench:
        assert await bench.refusal(unsigned(alg=algorithm)) == INVALID


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "changes",
    [
        {"user_id": None},
        {"user_id": "7"},
        {"user_id": 7.5},
        {"user_id": True},
        {"user_id": 0},
        {"user_id": 10**30},
        {"name": None},
        {"name": 5},
        {"name": "\ud800"},
        {"channel": None},
        {"channel": ""},
        {"channel": ["chat:1"]},
        {"channel": "\udfff"},
    ],
)
async def test_tokens_that_lack_a_claim(tmp_path: Path, changes: dict[str, Any]) -> None:
    async with Bench(tmp_path) as bench:
        code, reason = await bench.refusal(bench.token(**changes))
        assert code == 4401
        assert reason.startswith("The token's ")


@pytest.mark.gen_test
async def test_a_token_expires_to_the_second(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        token = bench.token()
        bench.clock.seconds = 59.999
        await bench.admit(token)
        bench.clock.seconds = 60
        assert await bench.refusal(token) == (4401, "The token has expired")


@pytest.mark.gen_test
async def test_secrets_are_not_in_what_is_printed(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        assert SECRET not in repr(bench.settings)


@pytest.mark.gen_test
@pytest.mark.parametrize("channel", ["a" * 201, " chat:1", "chat:\n", "\x00", "users", "echo"])
async def test_channels_that_cannot_be_joined(tmp_path: Path, channel: str) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect(channel=channel)
        assert client.closed is not None
        assert client.closed[0] == 1008
        assert client.take() == []


@pytest.mark.gen_test
async def test_the_apps_own_secrets(tmp_path: Path) -> None:
    async with Bench(tmp_path, secret="") as bench:
        app = await bench.apps.get("default")
        (first,) = bench.apps.secrets(app)
        assert await bench.refusal(bench.token(secret=SECRET)) == INVALID
        await bench.admit(bench.token(secret=first))
        second = (await bench.apps.rotate(ADMIN, "default")).secret
        await bench.admit(bench.token(secret=first))
        await bench.admit(bench.token(secret=second))
        await bench.apps.retire_old(ADMIN, "default")
        assert await bench.refusal(bench.token(secret=first)) == INVALID
        await bench.admit(bench.token(secret=second))


@pytest.mark.gen_test
async def test_tokens_of_one_app_are_nothing_in_another(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        (own,) = bench.apps.secrets(await bench.apps.get("default"))
        other = bench.other.secret
        assert (await bench.admit(bench.token(secret=other), app="other")).app == "other"
        assert (await bench.admit(bench.token(secret=own), app="default")).app == "default"
        for secret in (SECRET, own):
            assert await bench.refusal(bench.token(secret=secret), app="other") == INVALID
        for secret in (SECRET, other):
            assert await bench.refusal(bench.token(secret=secret), app="default") == INVALID
        assert await bench.refusal(bench.token(secret=other)) == INVALID
        for unknown in ("nothing", "", "../default", "default "):
            assert await bench.refusal(bench.token(secret=own), app=unknown or "none") == INVALID


@pytest.mark.gen_test
async def test_nothing_passes_from_app_to_app(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect(7, "Ann")
        stranger = await bench.connect(token=bench.token(8, "Eve", secret=bench.other.secret), app="other")
        assert [user["name"] for user in ann.take()[0]["users"]] == ["Ann"]
        assert [user["name"] for user in stranger.take()[0]["users"]] == ["Eve"]
        await ann.say({"data": {"message": "hello", "name": "Ann"}})
        await ann.say({"data": {"message": "hello", "name": "Ann", "target_user_id": 8}})
        assert stranger.take() == []
        stranger.leave()
        assert ann.take() == []


@pytest.mark.gen_test
async def test_an_app_that_does_not_serve_the_relay(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        client = await bench.connect()
        await bench.change_app("default", AppDraft(protocols=["users"]))
        assert client.closed is not None
        assert client.closed[0] == 4404
        assert (await bench.refusal(bench.token()))[0] == 4404
        assert await bench.refusal("bad") == INVALID
        await bench.change_app("default", AppDraft(protocols=[]))
        await bench.admit(bench.token())
        await bench.change_app("default", AppDraft(is_enabled=False))
        assert (await bench.refusal(bench.token()))[0] == 4404


@pytest.mark.gen_test
async def test_origins(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        foreign = {"origin": "https://evil.example"}
        await bench.admit(bench.token(), headers=foreign)
        await bench.change_app("default", AppDraft(allowed_origins=["^https://mine\\.example$"]))
        assert (await bench.refusal(bench.token(), headers=foreign))[0] == 1008
        assert (await bench.refusal(bench.token(), headers={"origin": "https://configured.example"}))[0] == 1008
        assert (await bench.refusal("bad", headers=foreign))[0] == 4401
        await bench.admit(bench.token(), headers={"origin": "https://mine.example"})
        await bench.admit(bench.token())


@pytest.mark.gen_test
async def test_an_app_has_room_for_so_many(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        await bench.change_app("default", AppDraft(limits=AppLimits(connections=1)))
        first = await bench.connect()
        with pytest.raises(errors.ServerFull):
            await bench.connect()
        first.leave()
        await bench.connect()


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("text", "since"),
    [("abc:7", StreamPosition(7, "abc")), ("a:b:0", StreamPosition(0, "a:b")), ("abc:-1", None), ("abc", None)],
)
async def test_a_position_is_read(tmp_path: Path, text: str, since: StreamPosition | None) -> None:
    async with Bench(tmp_path) as bench:
        entry = (await bench.admit(bench.token(), recover="1", position=text)).details
        assert (entry.recovers, entry.since) == (True, since)
        entry = (await bench.admit(bench.token(), position=text)).details
        assert (entry.recovers, entry.since) == (False, None)


OTHERS = re.compile(r"\.web\.|\.webhooks\.|\.protocols\.(?!relay\.)")


def test_the_maps_are_total() -> None:
    def reasons(parent: type[errors.UsersServerError]) -> set[str]:
        """Of those that can come here; the web layer, web hooks and other protocols have their own."""
        children = [child for child in parent.__subclasses__() if not OTHERS.search(child.__module__)]
        return {parent.reason}.union(*map(reasons, children))

    assert own.RefusedByApplication.reason in reasons(errors.ClientError)
    assert reasons(errors.Disconnect) <= set(CLOSE_CODES)
    assert reasons(errors.ClientError) | reasons(errors.BackendError) <= set(ERROR_CODES)
