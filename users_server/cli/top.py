"""``top``: what keeps a running server busy, as a screen that is drawn anew after every look."""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import accumulate
from pathlib import Path
from typing import TypeAlias, TypeVar

import click

from users_server.cli.addresses import http_url
from users_server.cli.edge import config_option, read_config
from users_server.cli.remote import API_KEY_HEADER
from users_server.config import Config
from users_server.core.messages import JSON
from users_server.errors import ConfigError
from users_server.logs import clean
from users_server.web.client import Target, get_busiest, trust_certificate

K = TypeVar("K")

Look: TypeAlias = dict[str, JSON]
"""``data`` of ``GET /busiest``, or a part of it."""

Report: TypeAlias = dict[str, JSON]
"""What :func:`with_rates` makes of two looks."""

ASKED = 100
"""Asked for, whatever is shown: the server sorts by what was sent in all, and a report by what was sent lately."""

UNKNOWN = "-"

_NODE_COUNTERS = ("messages", "publications", "deliveries", "writes", "flushes", "bytesQueued")

_CONNECTION_COLUMNS = (
    ("CONNECTION", "<"),
    ("ADDRESS", "<"),
    ("USER", "<"),
    ("WAITING", ">"),
    ("MESSAGES/S", ">"),
    ("MESSAGES", ">"),
    ("CONNECTED", ">"),
    ("CHANNELS", "<"),
)
_CHANNEL_COLUMNS = (
    ("CHANNEL", "<"),
    ("APP", "<"),
    ("SUBSCRIBERS", ">"),
    ("DELIVERED/S", ">"),
    ("DELIVERED", ">"),
    ("PUBLISHED/S", ">"),
    ("PUBLISHED", ">"),
)
_SUMMARY_LINES = 3
_FIXED_LINES = _SUMMARY_LINES + 4

# another screen without cursor and without wrapping, and back; to its beginning; the rest of a line; the rest of it
_ENTER, _LEAVE = "\x1b[?1049h\x1b[?25l\x1b[?7l", "\x1b[?7h\x1b[?25h\x1b[?1049l"
_HOME, _CLEAR_LINE, _CLEAR_BELOW = "\x1b[H", "\x1b[K", "\x1b[J"


@click.command()
@config_option
@click.option("--token", envvar="USERS_SERVER_TOKEN", help="Ask with this JWT instead of the API key.")
@click.option("--url", help="The server's HTTP API; by default the configuration's.")
@click.option(
    "--interval", type=click.FloatRange(0.1, 3600), default=1.0, show_default=True, help="Seconds between two looks."
)
@click.option(
    "--limit",
    type=click.IntRange(1, ASKED),
    default=20,
    show_default=True,
    help="How many connections, and how many channels, are shown at most.",
)
@click.option("--once", "is_once", is_flag=True, help="Look twice, print, and end.")
@click.option("--json", "is_json", is_flag=True, help="Print a line of JSON for each look.")
def top(
    config_path: Path | None,
    token: str | None,
    url: str | None,
    interval: float,
    limit: int,
    is_once: bool,
    is_json: bool,
) -> None:
    """
    Show the busiest connections and channels of a running server.

    It is drawn anew after every interval, until Ctrl-C. It asks with the API key of the configuration
    (websocket.socketApiKey), or with --token, an admin's or one with the scope events:emit.

    \b
    Examples:
      users-server top
      users-server top --once --interval 10
      users-server top --json | jq .node.deliveriesPerSecond
    """
    config = read_config(config_path)
    base = (url or http_url(config)).rstrip("/")
    target = Target(f"{base}/busiest?limit={ASKED}", _credentials(config, token), trust_certificate(config.tls))
    is_drawn = sys.stdout.isatty() and not (is_once or is_json)
    show = _print_json if is_json else _draw if is_drawn else _print
    with _screen() if is_drawn else contextlib.nullcontext():
        asyncio.run(_watch(target, interval, lambda report: show(shortened(report, limit)), is_once=is_once))


def _credentials(config: Config, token: str | None) -> dict[str, str]:
    if token:
        return {"Authorization": f"Bearer {token}"}
    if not config.websocket.socket_api_key:
        raise ConfigError("websocket.socketApiKey", "expected the key of the running server, or --token", '""')
    return {API_KEY_HEADER: config.websocket.socket_api_key}


async def _watch(target: Target, interval: float, show: Callable[[Report], None], *, is_once: bool) -> None:
    """Show reports until a signal comes, which is how it is meant to end."""
    showing = asyncio.create_task(_show_reports(target, interval, show, is_once=is_once))
    for number in (signal.SIGINT, signal.SIGTERM):
        asyncio.get_running_loop().add_signal_handler(number, showing.cancel)
    with contextlib.suppress(asyncio.CancelledError):
        await showing


async def _show_reports(target: Target, interval: float, show: Callable[[Report], None], *, is_once: bool) -> None:
    before = await get_busiest(target)
    while True:
        await asyncio.sleep(interval)
        now = await get_busiest(target)
        show(with_rates(before, now))
        if is_once:
            return
        before = now


def _print_json(report: Report) -> None:
    click.echo(json.dumps(report))


def _print(report: Report) -> None:
    click.echo("\n".join([*render(report), ""]))


def _draw(report: Report) -> None:
    size = shutil.get_terminal_size()
    lines = render(report, size.columns, size.lines)
    # cleared before it is written: behind a line of full width, its last character would be cleared too
    *above, last = lines
    click.echo(_HOME + "".join(f"{_CLEAR_LINE}{line}\n" for line in above) + f"{_CLEAR_BELOW}{last}", nl=False)


@contextlib.contextmanager
def _screen() -> Iterator[None]:
    click.echo(f"{_ENTER}{_HOME}{_CLEAR_BELOW}Looking…", nl=False)
    try:
        yield
    finally:
        click.echo(_LEAVE, nl=False)


# From two looks to a report


def with_rates(before: Look, now: Look) -> Report:
    """
    ``now`` with ``…PerSecond`` beside each counter, by the server's own clock, and the busiest of that time first.

    A rate is :obj:`None` where it cannot be known: the server was started anew, or ``before`` had no such entry
    although it was there. ``recentLoopLag`` has the form of ``loopLag``.
    """
    seconds = now["node"]["uptimeSeconds"] - before["node"]["uptimeSeconds"]
    connections = _by(before["connections"], _connection_key)
    channels = _by(before["channels"], _channel_key)
    return {
        "seconds": round(seconds, 3),
        "node": {
            **_rated(before["node"], now["node"], _NODE_COUNTERS, seconds),
            "recentLoopLag": _recent(before["node"]["loopLag"], now["node"]["loopLag"]),
        },
        "connections": sorted(
            (
                _rated(_earlier(connections, connection, seconds), connection, ("messagesIn",), seconds)
                for connection in now["connections"]
            ),
            key=lambda c: (c["queueBytes"], c["messagesInPerSecond"] or 0, c["messagesIn"]),
            reverse=True,
        ),
        "channels": sorted(
            (
                _rated(channels.get(_channel_key(channel)), channel, ("publications", "deliveries"), seconds)
                for channel in now["channels"]
            ),
            key=lambda c: (c["deliveriesPerSecond"] or 0, c["deliveries"], c["subscribers"]),
            reverse=True,
        ),
    }


def shortened(report: Report, limit: int) -> Report:
    """``report`` with so many connections and channels at most."""
    return {**report, "connections": report["connections"][:limit], "channels": report["channels"][:limit]}


def _connection_key(connection: Look) -> str:
    key: str = connection["id"]
    return key


def _channel_key(channel: Look) -> tuple[str, str]:
    return channel["app"], channel["name"]


def _by(entries: Iterable[Look], key: Callable[[Look], K]) -> dict[K, Look]:
    return {key(entry): entry for entry in entries}


def _earlier(known: Mapping[str, Look], connection: Look, seconds: float) -> Look | None:
    """What the connection was; of one that has come since, nothing had been sent."""
    if connection["connectedSeconds"] <= seconds:
        return {"messagesIn": 0}
    return known.get(_connection_key(connection))


def _rated(before: Look | None, now: Look, counters: Iterable[str], seconds: float) -> Look:
    rates: Look = {}
    for counter in counters:
        done = -1 if before is None else now[counter] - before[counter]
        rates[f"{counter}PerSecond"] = round(done / seconds, 3) if done >= 0 and seconds > 0 else None
    return {**now, **rates}


def _recent(before: Look, now: Look) -> Look:
    """What was observed since ``before``; since the start, if that was another start."""
    counts = [late - early for early, late in zip(before["counts"], now["counts"], strict=False)]
    return {**now, "counts": counts} if min(counts, default=0) >= 0 else now


# From a report to lines


def render(report: Report, width: int | None = None, height: int | None = None) -> list[str]:
    """The lines of a screen, by default of one that is large enough for all."""
    node, connections, channels = report["node"], report["connections"], report["channels"]
    if height is not None:
        room = max(2, height - _FIXED_LINES)
        shown = max(1, room // 3, room - len(connections))
        channels = channels[:shown]
        connections = connections[: max(1, room - len(channels))]
    lines = [
        *_summary(node),
        "",
        *_table(_CONNECTION_COLUMNS, [_connection_row(connection) for connection in connections]),
        "",
        *_table(_CHANNEL_COLUMNS, [_channel_row(channel) for channel in channels]),
    ]
    headings = (_SUMMARY_LINES + 1, _SUMMARY_LINES + 3 + len(connections))
    return [
        click.style(line[:width], bold=True) if number in headings else line[:width]
        for number, line in enumerate(lines[:height])
    ]


def _summary(node: Look) -> list[str]:
    lag = node["recentLoopLag"]
    return [
        f"up {_duration(node['uptimeSeconds'])}  connections {node['connections']:,} "
        f"({node['connectionsTotal']:,} so far)  slow readers closed {node['slowReadersClosed']:,}",
        f"a second: messages {_rate(node['messagesPerSecond'])}  publications {_rate(node['publicationsPerSecond'])}  "
        f"deliveries {_rate(node['deliveriesPerSecond'])} in {_rate(node['writesPerSecond'])} writes, "
        f"{_size(node['bytesQueuedPerSecond'])}",
        f"waiting {_size(node['queueBytes'])}  loop lag p50 {_quantile(lag, 0.5)}, p99 {_quantile(lag, 0.99)}",
    ]


def _connection_row(connection: Look) -> list[str]:
    return [
        clean(connection["id"]),
        clean(connection["address"]),
        clean(connection["username"] or UNKNOWN),
        _size(connection["queueBytes"]),
        _rate(connection["messagesInPerSecond"]),
        f"{connection['messagesIn']:,}",
        _duration(connection["connectedSeconds"]),
        clean(" ".join(connection["channels"])),
    ]


def _channel_row(channel: Look) -> list[str]:
    return [
        clean(channel["name"]),
        clean(channel["app"]),
        f"{channel['subscribers']:,}",
        _rate(channel["deliveriesPerSecond"]),
        f"{channel['deliveries']:,}",
        _rate(channel["publicationsPerSecond"]),
        f"{channel['publications']:,}",
    ]


def _table(columns: Sequence[tuple[str, str]], rows: Sequence[Sequence[str]]) -> list[str]:
    """A heading and a line for each row. A column is its title and ``<`` or ``>``, the side to which it is set."""
    lines = [[title for title, _ in columns], *rows]
    widths = [max(map(len, cells)) for cells in zip(*lines, strict=True)]
    return [
        "  ".join(f"{cell:{side}{size}}" for cell, size, (_, side) in zip(line, widths, columns, strict=True)).rstrip()
        for line in lines
    ]


def _rate(per_second: float | None) -> str:
    if per_second is None:
        return UNKNOWN
    return f"{per_second:,.1f}" if per_second < 100 else f"{per_second:,.0f}"


def _size(count: float | None) -> str:
    if count is None:
        return UNKNOWN
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:,.1f} GB"


def _duration(seconds: float) -> str:
    minutes, second = divmod(int(seconds), 60)
    hours, minute = divmod(minutes, 60)
    days, hour = divmod(hours, 24)
    return (f"{days}d " if days else "") + f"{hour:02}:{minute:02}:{second:02}"


def _quantile(lag: Look, part: float) -> str:
    """The bound within which ``part`` of the observations were."""
    total = sum(lag["counts"])
    if not total:
        return UNKNOWN
    for bound, reached in zip(lag["bounds"], accumulate(lag["counts"]), strict=False):
        if reached >= part * total:
            return f"≤ {bound * 1000:g} ms"
    return f"> {lag['bounds'][-1] * 1000:g} ms"
