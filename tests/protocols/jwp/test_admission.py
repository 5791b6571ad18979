"""Who may connect, and who may join what (jwp.md, Connecting and joining)."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import structlog
from structlog.testing import capture_logs

from tests.protocols.jwp.bench import ADMIN, APP, OK, Bench, Client, hexed
from users_server import errors
from users_server.core.apps import App
from users_server.errors import Unauthenticated
from users_server.protocols.base import Peer
from users_server.protocols.jwp.errors import CLOSE_CODES, REFUSALS, Unrecoverable
from users_server.protocols.jwp.tokens import SocketToken, channel_text, check_signature, sign
from users_server.services.apps import AppDraft

OTHERS = re.compile(r"\.web\.|\.webhooks\.|\.protocols\.(?!jwp\.)")
UNAUTHORIZED = {"status": "error", "response": {"reason": "unauthorized"}}


@pytest.mark.parametrize(
    ("secret", "text", "signature"),
    [
        ("$3CR3T", "Hello From 2020", "B3AB90723B6139B98706E162E1DD63EBBF5EF2A8C5B2B1B384252C003ACB78E1"),
        ("$3CR3T", "my-user:my-channel", "65A8C23A9963FFA0B17247CFA94C550636213AC6951B0D6BF9F1151D1BDB487C"),
        ("secret", "42:1587499313", "D39008801BDB551114883B1EE59B9B3CDFD6CEA9371A96E1530936DE8702FC23"),
        ("secret", "42:lobby", "A5E43448F597127B3D04769BFC2EEAF5137F26C38A1020C56220016F5DD62509"),
    ],
)
def test_vectors(secret: str, text: str, signature: str) -> None:
    assert sign(secret, text) == signature
    check_signature(text, signature, ["another", secret])
    for bad in (signature.lower(), signature[:-1], "", signature + " ", "é"):
        with pytest.raises(Unauthenticated):
            check_signature(text, bad, [secret])
    with pytest.raises(Unauthenticated):
        check_signature(text, sign("", text), [])


def test_the_text_of_a_join_is_exact() -> None:
    assert channel_text("my-user", "my-channel", None) == "my-user:my-channel"
    assert channel_text("u", "c", "") == "u:c:"
    assert channel_text("u", "c", ' {"meta" : {}}') == 'u:c: {"meta" : {}}'


def test_a_socket_id_may_have_colons() -> None:
    token = SocketToken.read("team:7:user:123:1587499313:SIG")
    assert (token.socket_id, token.expiry, token.signature) == ("team:7:user:123", 1587499313, "SIG")
    assert "SIG" not in repr(token)


@pytest.mark.parametrize(
    "token", ["", ":", "::", "a:1", ":1:S", "a:x:S", "a:-1:S", "a: 1:S", "a:1.5:S", "a::S", "x" * 256 + ":1:S", "a:²:S"]
)
def test_what_is_no_token(token: str) -> None:
    with pytest.raises(Unauthenticated):
        SocketToken.read(token)


@pytest.mark.gen_test
async def test_who_may_connect(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        token = bench.socket_token

        async def reason(auth: str, **query: str) -> str:
            return await bench.refusal(auth=auth, **{"app_id": APP, "vsn": "2.0.0", **query})

        for seconds in (1, 60):
            admission = await bench.admit(app_id=APP, auth=token("user:123", seconds))
            assert (admission.app, admission.details.socket_id) == (APP, "user:123")
            assert admission.details.serializer.version == 1
        refused = [token("u", 0), token("u", -1), token("u", 61), token("u", secret="other"), "u:1:S", ""]
        refused += [token("u").lower(), token("u") + "A", "x" + token("u")]
        assert {await reason(auth) for auth in refused} == {"identity_refused"}
        for app in ("nobody", "", "default ", "jwp:x"):
            assert await reason(token("u"), app_id=app) == "identity_refused"
        assert await bench.refusal(app_id=APP) == "identity_refused"
        assert await bench.refusal(auth=token("u")) == "identity_refused"


@pytest.mark.parametrize(("vsn", "version"), [("1.0.0", 1), ("1.0.9", 1), ("2.0.0", 2), ("2.0.12", 2), (None, 1)])
@pytest.mark.gen_test
async def test_versions_that_are_spoken(tmp_path: Path, vsn: str | None, version: int) -> None:
    async with Bench(tmp_path) as bench:
        query = {"app_id": APP, "auth": bench.socket_token("u")}
        admission = await bench.admit(**(query if vsn is None else {**query, "vsn": vsn}))
        assert admission.details.serializer.version == version


@pytest.mark.parametrize(
    "vsn", ["", "2", "2.0", "2.1.0", "1.1.0", "3.0.0", "2.0.x", "2.0.0.0", "02.0.0", "2.0.01", "x"]
)
@pytest.mark.gen_test
async def test_versions_that_are_not(tmp_path: Path, vsn: str) -> None:
    async with Bench(tmp_path) as bench:
        assert await bench.refusal(app_id=APP, auth=bench.socket_token("u"), vsn=vsn) == "policy"
        assert bench.protocol.refusal_status == 403


@pytest.mark.gen_test
async def test_apps_say_whom_they_serve_and_whose_pages(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:

        async def reason(origin: str | None = None) -> str:
            headers = {} if origin is None else {"origin": origin}
            return await bench.refusal(headers, app_id=APP, auth=bench.socket_token("u"))

        await bench.admit({"origin": "https://anywhere.example"}, app_id=APP, auth=bench.socket_token("u"))
        await bench.change_app(AppDraft(allowed_origins=("^https://game\\.example$",)))
        await bench.admit({"origin": "https://game.example"}, app_id=APP, auth=bench.socket_token("u"))
        await bench.admit(app_id=APP, auth=bench.socket_token("u"))
        assert await reason("https://evil.example") == "origin_refused"
        ann = await bench.connect()
        await bench.change_app(AppDraft(protocols=("relay",)))
        assert await reason() == "app_gone"
        assert ann.closed is not None
        assert ann.closed[0] == 4404


@pytest.mark.gen_test
async def test_both_secrets_of_an_app_are_good_while_it_changes_over(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        old = bench.secret
        bench.secret = (await bench.apps.rotate(ADMIN, APP)).secret
        for secret in (old, bench.secret):
            await bench.admit(app_id=APP, auth=bench.socket_token("u", secret=secret))
        ann = await bench.connect()
        assert (await ann.join(secret=old))[0][4] == OK
        assert (await ann.join("other"))[0][4] == OK
        await bench.apps.retire_old(ADMIN, APP)
        assert await bench.refusal(app_id=APP, auth=bench.socket_token("u", secret=old)) == "identity_refused"
        assert (await ann.join("third", secret=old))[0][4] == UNAUTHORIZED


@pytest.mark.parametrize(
    "data",
    [
        '{"meta":{"a":1},"options":{"presence_track":true}}',
        ' { "options" : {} } ',
        '{"meta":null}',
        "{}",
        '{"other":1}',
        '{"meta":{"é":"\\ud83d\\ude00"},"options":{"notify_joins":false,"notify_leaves":false,"presence_diffs":false}}',
    ],
)
@pytest.mark.gen_test
async def test_data_that_is_good(tmp_path: Path, data: str) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert (await ann.join(data=data))[0][4] == OK


@pytest.mark.parametrize(
    "data",
    [
        "",
        "null",
        "[]",
        "1",
        "{",
        '{"meta":[]}',
        '{"meta":"x"}',
        '{"options":null}',
        '{"options":[]}',
        '{"options":{"unknown":true}}',
        '{"options":{"presence_track":1}}',
        '{"options":{"presence_track":null}}',
        '{"options":{"notify_joins":"true"}}',
        '{"meta":' + '{"a":' * 300 + "1" + "}" * 300 + "}",
    ],
)
@pytest.mark.gen_test
async def test_data_that_is_refused_although_it_is_signed(tmp_path: Path, data: str) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect()
        assert (await ann.join(data=data))[0][4] == UNAUTHORIZED
        assert ann.closed is None


@pytest.mark.gen_test
async def test_joins_that_are_refused(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect("user:1")
        good = hexed(bench.secret, "user:1:lobby")
        data = '{"options":{}}'
        topic = f"jwp:{APP}:lobby"
        payloads: list[tuple[str, Any]] = [
            (topic, payload)
            for payload in (
                {},
                None,
                [],
                "x",
                {"auth": None},
                {"auth": 1},
                {"auth": ""},
                {"auth": good.lower()},
                {"auth": good[:-1]},
                {"auth": hexed("another", "user:1:lobby")},
                {"auth": hexed(bench.secret, "user:2:lobby")},
                {"auth": hexed(bench.secret, "user:1:other")},
                {"auth": good, "data": data},
                {"auth": good, "data": 1},
                {"auth": good, "data": {}},
                {"auth": good, "data": True},
                {"auth": hexed(bench.secret, f"user:1:lobby:{data}"), "data": data + " "},
            )
        ]
        payloads += [
            (other, {"auth": good})
            for other in ("jwp:other:lobby", "lobby", "jwp:lobby", f"jwp:{APP}", "", "phoenix", f"JWP:{APP}:lobby")
        ]
        for number, (name, payload) in enumerate(payloads):
            ref = str(number)
            answer = await ann.say([ref, ref, name, "phx_join", payload])
            assert answer == [[ref, ref, name, "phx_reply", UNAUTHORIZED]], (name, payload)
        # null is what a client sends that has no data
        assert (await ann.say(["x", "x", topic, "phx_join", {"auth": good, "data": None}]))[0][4] == OK


@pytest.mark.gen_test
async def test_the_system_channels_are_not_for_games(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        new = await bench.apps.ensure_default()
        assert new is not None
        token = bench.socket_token("u", secret=new.secret)
        admission = await bench.admit(app_id="default", auth=token, vsn="2.0.0")
        client = Client(bench, "u", 2)
        client.open(Peer("c", admission, ""))
        payload = {"auth": hexed(new.secret, "u:users")}
        assert (await client.say(["1", "1", "jwp:default:users", "phx_join", payload]))[0][4] == UNAUTHORIZED


@pytest.mark.gen_test
async def test_refused_signatures_are_explained_to_apps_that_ask(tmp_path: Path) -> None:
    async with Bench(tmp_path) as bench:
        ann = await bench.connect("user:1")
        data = json.dumps({"meta": {"name": "Ann"}})
        early = bench.socket_token("user:1", 100)

        async def provoke() -> list[Any]:
            with capture_logs() as logs:
                await bench.refusal(app_id=APP, auth=early)
                await bench.refusal(app_id=APP, auth=bench.socket_token("user:1", secret="other"))
                await bench.refusal(app_id=APP, auth="x" * 2000 + ":1:S")
                await ann.join(data=data, secret="other")
            return [line for line in logs if line["event"] == "jwp signature refused"]

        structlog.reset_defaults()
        assert await provoke() == []
        app: App = await bench.change_app(AppDraft(debug_signatures=True))
        logs = await provoke()
        assert [(line["token"], line["app"]) for line in logs] == [("socket", APP)] * 3 + [("channel", APP)]
        assert logs[0]["signed"] == early.rpartition(":")[0]
        assert len(logs[2]["signed"]) == 500
        assert logs[3]["signed"] == f"user:1:lobby:{data}"
        text = repr(logs)
        for secret in (*bench.apps.secrets(app), early.rpartition(":")[2], hexed(bench.secret, logs[3]["signed"])):
            assert secret not in text


def test_the_maps_are_total() -> None:
    def reasons(parent: type[errors.UsersServerError]) -> set[str]:
        """Of those that can come here; the web layer, web hooks and other protocols have their own."""
        children = [child for child in parent.__subclasses__() if not OTHERS.search(child.__module__)]
        return {parent.reason}.union(*map(reasons, children))

    assert Unrecoverable.reason in reasons(errors.ClientError)
    assert reasons(errors.Disconnect) <= set(CLOSE_CODES)
    assert 1000 not in CLOSE_CODES.values()
    assert reasons(errors.ClientError) | reasons(errors.BackendError) <= set(REFUSALS)
