"""``serve``: run the server until a signal ends it."""

from __future__ import annotations

import asyncio
import dataclasses
import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from users_server.cli.edge import config_option, read_config
from users_server.cli.greeting import greeting
from users_server.cli.process import keep_out_of_collections, raise_descriptor_limit
from users_server.config import Config
from users_server.logs import configure_logging

if TYPE_CHECKING:
    from users_server.app import Server

STOP_SIGNALS = (signal.SIGTERM, signal.SIGINT)


@click.command()
@config_option
@click.option(
    "--conformance", is_flag=True, help="For the conformance tests of the protocol only; never in production."
)
def serve(config_path: Path | None, conformance: bool) -> None:
    """
    Run the server.

    SIGTERM and Ctrl-C stop it: what was accepted is finished, within shutdownSeconds. A second signal ends it at once.

    \b
    Examples:
      users-server serve
      users-server serve --config /etc/users-server/config.json
      USERS_SERVER__HTTP__PORT=80 users-server serve
    """
    config = dataclasses.replace(read_config(config_path), conformance=conformance)
    configure_logging(config.logging.level, config.logging.format)
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(config))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed; else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(config: Config) -> None:
    from users_server.app import Server  # here, so that commands that need no server start at once

    stopping = _on_signals()
    server = Server(config)
    raise_descriptor_limit(config.websocket.max_connections)
    try:
        if await _started(server, stopping):
            keep_out_of_collections()
            click.echo(greeting(config, server.http_port, server.websocket_port, server.generated_password))
            await stopping.wait()
    finally:
        await server.stop()


async def _started(server: Server, stopping: asyncio.Event) -> bool:
    """Whether the server runs; False if a signal came first."""
    starting = asyncio.create_task(server.start())
    stopped = asyncio.create_task(stopping.wait())
    await asyncio.wait((starting, stopped), return_when=asyncio.FIRST_COMPLETED)
    stopped.cancel()
    if not starting.done():
        starting.cancel()
    try:
        await starting
    except asyncio.CancelledError:
        return False
    return True


def _on_signals() -> asyncio.Event:
    """An event that the first signal sets; the second ends the process, with nothing finished."""
    stopping = asyncio.Event()

    def stop(number: int) -> None:
        if stopping.is_set():
            os._exit(128 + number)
        stopping.set()

    loop = asyncio.get_running_loop()
    for number in STOP_SIGNALS:
        loop.add_signal_handler(number, stop, number)
    return stopping
