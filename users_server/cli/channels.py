"""``publish`` and ``watch``: the channels of an app, in a running server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import random
import signal
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlencode

import click
import orjson

from users_server.cli.addresses import http_url, websocket_url
from users_server.cli.edge import config_option, read_config
from users_server.config import Config
from users_server.core.messages import JSON
from users_server.errors import ConfigError
from users_server.logs import clean
from users_server.protocols.watch import PROTOCOL as WATCH
from users_server.services.app_key import APP_KEY_HEADER
from users_server.services.credentials import API_KEY_HEADER
from users_server.web.client import ServerAway, ServerRefused, Target, post_event, read_events, trust_certificate

FIRST_PAUSE_SECONDS = 0.25
LONGEST_PAUSE_SECONDS = 10.0

PASSING_CODES = frozenset({1001, 1011, 1012, 1013, 4408})
"""Close codes after which it is worth while to come back."""

api_key_option = click.option(
    "--api-key",
    envvar="USERS_SERVER_API_KEY",
    help="The app's API key, better in USERS_SERVER_API_KEY; by default websocket.socketApiKey of the configuration.",
)


@click.command()
@config_option
@click.argument("app_id", metavar="APP")
@click.argument("channel")
@click.argument("event")
@click.argument("data", metavar="JSON")
@api_key_option
@click.option("--to-user", help="Only the connections of this user of the app get it.")
@click.option("--url", help="The server's HTTP API; by default the configuration's.")
def publish(
    config_path: Path | None,
    app_id: str,
    channel: str,
    event: str,
    data: str,
    api_key: str | None,
    to_user: str | None,
    url: str | None,
) -> None:
    """
    Publish an event in a channel of a running server, whatever protocol its subscribers speak.

    \b
    Examples:
      users-server publish default news headline '{"text": "hello"}'
      USERS_SERVER_API_KEY=… users-server publish shop orders:7 paid '{"by": "card"}'
    """
    body: dict[str, JSON] = {"channel": channel, "event": event, "data": _data(data)}
    if to_user is not None:
        body["toUser"] = to_user
    config = read_config(config_path)
    base = (url or http_url(config)).rstrip("/")
    target = Target(
        f"{base}/apps/{quote(app_id, safe='')}/events",
        _credentials(config, api_key),
        trust_certificate(config.tls),
    )
    asyncio.run(post_event(target, body))
    click.echo(f"Published in {clean(channel)}: {clean(event)}")


def _data(text: str) -> JSON:
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="JSON") from error


def _credentials(config: Config, api_key: str | None) -> dict[str, str]:
    """The app's API key, or the one of this server's own services, which opens every app."""
    if api_key:
        return {APP_KEY_HEADER: api_key}
    if not config.websocket.socket_api_key:
        hint = "Set it, or give the API key of the app in USERS_SERVER_API_KEY; users-server app rotate makes a new one"
        raise ConfigError("websocket.socketApiKey", "expected the key of the running server", '""', hint=hint)
    return {API_KEY_HEADER: config.websocket.socket_api_key}


@click.command()
@config_option
@click.argument("app_id", metavar="APP")
@click.argument("channel", required=False)
@api_key_option
@click.option("--since", metavar="POSITION", help="Begin with what came after it; needs a channel with history.")
@click.option("--json", "is_raw", is_flag=True, help="Print each message as one line of JSON.")
@click.option("--url", help="The server's socket for watching; by default the configuration's.")
def watch(
    config_path: Path | None,
    app_id: str,
    channel: str | None,
    api_key: str | None,
    since: str | None,
    is_raw: bool,
    url: str | None,
) -> None:
    """
    Print what is published in APP, or in one CHANNEL of it, until Ctrl-C.

    When the connection breaks it is made again. In a channel with history nothing is missed then, or it says so.

    \b
    Examples:
      users-server watch default
      users-server watch default news --since 0f3a:17
      users-server watch default news --json | jq .data
    """
    if since is not None and channel is None:
        raise click.UsageError("--since needs a CHANNEL")
    config = read_config(config_path)
    base = url or websocket_url(config, path=config.protocols[WATCH.name].path)
    view = View(app_id, channel, since)
    target = Target(base, _credentials(config, api_key), trust_certificate(config.tls))
    asyncio.run(_until_signal(_watch(target, view, _print_raw if is_raw else _print)))


@dataclass(slots=True)
class View:
    """What is watched, and how far it was seen."""

    app_id: str
    channel: str | None
    position: str | None = None
    is_connected: bool = False
    has_been_connected: bool = False

    def url(self, base: str) -> str:
        query = {"app": self.app_id}
        if self.channel is not None:
            query["channel"] = self.channel
            if self.position is not None:
                query["since"] = self.position
        return f"{base}{'&' if '?' in base else '?'}{urlencode(query)}"

    def learn(self, message: dict[str, JSON]) -> None:
        """
        Remember where to go on.

        What is recovered comes behind ``subscribed``, whose position is the end of it: that is not seen yet.
        """
        self.is_connected = self.has_been_connected = True
        position = _position(message)
        if self.channel is not None and position and message.get("recovered") is not True:
            self.position = position


async def _watch(target: Target, view: View, show: Callable[[dict[str, JSON]], None]) -> None:
    pause = FIRST_PAUSE_SECONDS
    while True:
        view.is_connected = False
        try:
            await _watch_once(replace(target, url=view.url(target.url)), view, show)
        except ServerRefused as error:
            if error.code not in PASSING_CODES:
                raise
            why = error.message
        except ServerAway as error:
            if not view.has_been_connected:
                raise
            why = error.message
        else:
            return
        if view.is_connected:
            pause = FIRST_PAUSE_SECONDS
        click.echo(f"{clean(why)}; connecting again", err=True)
        await asyncio.sleep(pause * random.uniform(0.5, 1))  # noqa: S311 (only so that not all come back at once)
        pause = min(pause * 2, LONGEST_PAUSE_SECONDS)


async def _watch_once(target: Target, view: View, show: Callable[[dict[str, JSON]], None]) -> None:
    async with contextlib.aclosing(read_events(target)) as messages:
        async for text in messages:
            message = _read(text)
            show(message)
            view.learn(message)


def _read(text: str) -> dict[str, JSON]:
    try:
        message = orjson.loads(text)
    except orjson.JSONDecodeError:
        message = None
    if not isinstance(message, dict) or not isinstance(message.get("type"), str):
        raise ServerAway("It is no users-server, or one of another version")
    return message


def _print_raw(message: dict[str, JSON]) -> None:
    click.echo(orjson.dumps(message).decode())


def _print(message: dict[str, JSON]) -> None:
    now = datetime.datetime.now().astimezone().strftime("%H:%M:%S")
    kind, text = message["type"], _shown(message)
    colour = {"gap": "red", "presence": "cyan", "subscribed": "green"}.get(kind)
    if kind == "subscribed" and message.get("recovered") is False:
        colour = "red"
    click.echo(f"{now}  {click.style(text, fg=colour)}")


def _shown(message: dict[str, JSON]) -> str:
    """A message as a line."""
    channel = clean(str(message.get("channel")))
    match message["type"]:
        case "publication":
            by = message.get("by") or {}
            who = f"  by {clean(str(by.get('username') or by.get('user') or by.get('connection')))}" if by else ""
            position = f"  {clean(_position(message))}"
            data = clean(orjson.dumps(message.get("data")).decode())
            return f"{channel}  {clean(str(message.get('event')))}  {data}{who}{position}".rstrip()
        case "presence":
            return f"{channel}  {clean(str(message.get('change')))}  {clean(str(message.get('user')))}"
        case "gap":
            return f"{channel}  some publications were lost and cannot be recovered"
        case "subscribed":
            what = "all channels" if message.get("channel") is None else channel
            if message.get("recovered") is None:
                return f"watching {what}"
            end = "nothing was missed" if message["recovered"] else "what was missed cannot be recovered"
            return f"watching {what} again: {end}"
    return clean(orjson.dumps(message).decode())


def _position(message: dict[str, JSON]) -> str:
    """``EPOCH:OFFSET``; empty if it has none."""
    match message.get("position"):
        case {"epoch": str(epoch), "offset": int(offset)}:
            return f"{epoch}:{offset}"
    return ""


async def _until_signal(work: Coroutine[Any, Any, None]) -> None:
    """Work until it is done or a signal comes; the latter is how it is meant to end."""
    task = asyncio.create_task(work)
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, task.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await task
