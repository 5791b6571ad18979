"""Apps as tenants of one server: what opens them, every way to hear what happens in one, and what can happen there."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

from tests.raw_client import CLOSE, RawClient
from tests.server_process import API_KEY, ORIGIN, ServerProcess
from tests.wire.people import make_token as make_login_token
from tests.wire.relay import path as relay_path

CHANNEL = "chat:room"
VISITOR = 7

numbers = itertools.count(100)


@dataclass(frozen=True)
class Tenant:
    """One app, and everything that is needed to get into it. ``cookie`` is an admin's."""

    server: ServerProcess
    cookie: str
    id: str
    secret: str
    api_key: str

    @property
    def mark(self) -> str:
        return f"<{self.id}>"

    def token_path(self, user_id: int = VISITOR, channel: str = CHANNEL, *, at: str | None = None) -> str:
        at = f"/relay/{self.id}" if at is None else at
        return relay_path(user_id, f"{user_id} of {self.mark}", channel, at=at, secret=self.secret)

    def join(self, user_id: int = VISITOR, channel: str = CHANNEL, query: str = "") -> RawClient:
        """A client of the relay."""
        return self.server.connect(self.token_path(user_id, channel) + query, origin=None)

    def publish(self, event: str = "said", channel: str = CHANNEL) -> None:
        body = {"channel": channel, "event": event, "data": {"username": self.mark}}
        headers = {"app-api-key": self.api_key}
        answer = self.server.http().request("POST", f"/apps/{self.id}/events", body, headers=headers)
        assert answer.status == 200, answer

    def make_noise(self) -> None:
        """Everything that can happen in a channel. When this returns, whoever stays there has heard all of it."""
        goes_id = next(numbers)
        with self.join(next(numbers)) as stays:
            assert stays.read_event()["type"] == "connected"
            with self.join(goes_id) as goes:
                goes.send_event(data={"message": self.mark, "name": self.mark})
                self.publish()
                await_frames(stays, {("connectOther", goes_id), ("message", goes_id), ("said", 0)})
            await_frames(stays, {("disconnectOther", goes_id)})

    def change(self, method: str, path: str, body: Any = None) -> Any:
        headers = {"Cookie": f"SID={self.cookie}"}
        answer = self.server.http().request(method, f"/apps/{self.id}{path}", body, headers=headers)
        assert answer.status == 200, answer
        return answer.body


def await_frames(client: RawClient, awaited: set[tuple[str, int]]) -> None:
    """Until the relay has told all of these, each a type and the sender's id."""
    while awaited:
        frame = client.read_event()
        awaited.discard((frame["type"], frame.get("sender", {}).get("id")))


def heard(client: RawClient, last: str) -> list[dict[str, Any]]:
    """All that comes, up to the event ``last``."""
    frames = []
    while True:
        frame = client.read_event()
        frames.append(frame)
        if last in (frame["type"], frame.get("event")):
            return frames


def close_code(client: RawClient) -> tuple[int | None, str]:
    """With what the server closes, whatever it says before."""
    while True:
        frame = client.read_frame()
        if frame.opcode == CLOSE:
            return client.parse_close(frame)


def basic(name: str, password: str) -> dict[str, str]:
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


CREDENTIALS: dict[str, Callable[[Tenant], dict[str, Any]]] = {
    "the app's key": lambda app: {"headers": {"app-api-key": app.api_key}},
    "basic": lambda app: {"headers": basic(app.id, app.api_key)},
    "a service's key": lambda app: {"headers": {"users-api-key": API_KEY}},
    "an admin's cookie": lambda app: {"cookie": app.cookie, "origin": ORIGIN},
    "an admin's token": lambda app: {"headers": {"Authorization": f"Bearer {make_login_token('chief')}"}},
    "an admin's token in the query": lambda app: {"query": f"&token={make_login_token('chief')}"},
}


def watch(app: Tenant, credentials: str, query: str) -> RawClient:
    options = {"origin": None, **CREDENTIALS[credentials](app)}
    return app.server.connect(f"/watch?app={app.id}{query}{options.pop('query', '')}", **options)


Way = Callable[[Tenant], RawClient]
WAYS: dict[str, Way] = {
    "relay": lambda app: app.join(),
    "relay with positions": lambda app: app.join(query="&recover=1"),
    **{
        f"watch {what} with {credentials}": lambda app, credentials=credentials, query=query: watch(  # type: ignore[misc]
            app, credentials, query
        )
        for credentials in CREDENTIALS
        for what, query in (("everything", ""), ("one channel", f"&channel={CHANNEL}"))
    },
}
"""Every way to hear what happens in an app."""

MAIN_WAY: Way = lambda app: app.server.connect(app.token_path(at="/relay"), origin=None)  # noqa: E731
"""Only the default app has it."""


def ways_of(app: Tenant) -> dict[str, Way]:
    return {**WAYS, "relay at its own path": MAIN_WAY} if app.id == "default" else WAYS


def greeted(stack: ExitStack, client: RawClient) -> tuple[RawClient, dict[str, Any]]:
    """A client who hears what comes from here on, and the first that it was told."""
    first = stack.enter_context(client).read_event()
    assert first["type"] in ("connected", "subscribed")
    return client, first


def listen(stack: ExitStack, app: Tenant) -> dict[str, tuple[RawClient, dict[str, Any]]]:
    """A listener in each way, and the first that it was told."""
    return {name: greeted(stack, way(app)) for name, way in ways_of(app).items()}


def sides(pair: tuple[Tenant, Tenant]) -> Sequence[tuple[Tenant, Tenant]]:
    return (pair, pair[::-1])
