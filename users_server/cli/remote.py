"""``emit`` and ``listen``: talk to a running server."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
import signal
from pathlib import Path

import click
import orjson

from users_server.cli.addresses import http_url, websocket_url
from users_server.cli.catalogue import find_event
from users_server.cli.edge import config_option, read_config
from users_server.cli.origins import approved_origin
from users_server.config import Config
from users_server.core.messages import JSON
from users_server.errors import ConfigError
from users_server.logs import clean
from users_server.protocols.users.events import BY_TYPE
from users_server.web.client import Target, post_event, read_events, trust_certificate

API_KEY_HEADER = "users-api-key"
_COLOURS = {1: "green", 2: "yellow", 3: "cyan", 4: "red", 5: "blue", 6: "magenta", 7: "blue", 8: "magenta", 11: "red"}


@click.command()
@config_option
@click.argument("event")
@click.argument("fields", required=False, metavar="[JSON]")
@click.option("--username", help='The same as {"username": …}.')
@click.option("--url", help="The server's HTTP API; by default the configuration's.")
def emit(config_path: Path | None, event: str, fields: str | None, username: str | None, url: str | None) -> None:
    """
    Send an event to the clients of a running server.

    EVENT is its number or name. The API key of the configuration (websocket.socketApiKey) must be set.

    \b
    Examples:
      users-server emit 1 --username ann
      users-server emit Login '{"username": "ann"}'
    """
    message: dict[str, JSON] = {"eventType": find_event(event).type, **_fields(fields)}
    if username is not None:
        message["username"] = username
    config = read_config(config_path)
    base = (url or http_url(config)).rstrip("/")
    target = Target(f"{base}/events", {API_KEY_HEADER: _api_key(config)}, trust_certificate(config.tls))
    asyncio.run(post_event(target, message))
    click.echo(f"Sent: {_line(message)}")


def _fields(text: str | None) -> dict[str, JSON]:
    try:
        fields = orjson.loads(text or "{}")
    except orjson.JSONDecodeError as error:
        raise click.BadParameter(f"not JSON: {error}", param_hint="JSON") from error
    if not isinstance(fields, dict):
        raise click.BadParameter('an object is expected, such as {"username": "ann"}', param_hint="JSON")
    return fields


def _api_key(config: Config) -> str:
    key = config.websocket.socket_api_key
    if not key:
        hint = 'Make one: python3 -c "import secrets; print(secrets.token_urlsafe(32))"'
        raise ConfigError("websocket.socketApiKey", "expected the key of the running server", '""', hint=hint)
    return key


@click.command()
@config_option
@click.option("--token", envvar="USERS_SERVER_TOKEN", help="Connect with this JWT instead of the API key.")
@click.option("--origin", help="The Origin to send; by default one that the configuration approves.")
@click.option("--url", help="The server's socket; by default the configuration's.")
@click.option("--json", "is_raw", is_flag=True, help="Print each event as one line of JSON.")
def listen(config_path: Path | None, token: str | None, origin: str | None, url: str | None, is_raw: bool) -> None:
    """
    Print the events of a running server.

    They come until Ctrl-C. It connects with the API key of the configuration, or with --token, or else as an anonymous
    client.

    \b
    Examples:
      users-server listen
      users-server listen --json | jq .username
      USERS_SERVER_TOKEN=$(users-server token create --subject monitor --scope events:emit) users-server listen
    """
    config = read_config(config_path)
    headers = {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    elif config.websocket.socket_api_key:
        headers[API_KEY_HEADER] = config.websocket.socket_api_key
    chosen = origin or approved_origin(config)
    if chosen:
        headers["Origin"] = chosen
    target = Target(url or websocket_url(config), headers, trust_certificate(config.tls))
    asyncio.run(_listen(target, is_raw))


async def _listen(target: Target, is_raw: bool) -> None:
    """Print until the server closes the connection or a signal comes; the latter is how it is meant to end."""
    printing = asyncio.create_task(_print_events(target, is_raw))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, printing.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await printing


async def _print_events(target: Target, is_raw: bool) -> None:
    async with contextlib.aclosing(read_events(target)) as messages:
        async for message in messages:
            click.echo(clean(message) if is_raw else _shown(message))


def _shown(message: str) -> str:
    now = datetime.datetime.now().astimezone().strftime("%H:%M:%S")
    try:
        event = orjson.loads(message)
    except orjson.JSONDecodeError:
        event = None
    if not isinstance(event, dict):
        return f"{now}  {clean(message)}"
    number = event.get("eventType")
    colour = _COLOURS.get(number) if isinstance(number, int) else None
    return f"{now}  {click.style(_line(event), fg=colour)}"


def _line(event: dict[str, JSON]) -> str:
    """An event as ``1 Login username="ann"``."""
    number = event.get("eventType")
    known = BY_TYPE.get(number) if isinstance(number, int) else None
    fields = (
        f"{clean(name)}={clean(json.dumps(value, ensure_ascii=False))}"
        for name, value in event.items()
        if name != "eventType"
    )
    return " ".join([clean(str(number)), known.name if known else "?", *fields])
