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
from users_server.cli.workers import STOP_SIGNALS, Ready, Supervisor, WorkerEnd
from users_server.config import Config, ConfigErrors
from users_server.config.checks import check_workers
from users_server.config.ports import worker_count
from users_server.logs import configure_logging

if TYPE_CHECKING:
    from users_server.app import Server


@click.command()
@config_option
@click.option(
    "--workers",
    type=click.IntRange(min=0, max=1024),
    help="How many processes serve, instead of workers.count; 0 for one on each processor. More than one needs Redis.",
)
@click.option(
    "--conformance", is_flag=True, help="For the conformance tests of the protocol only; never in production."
)
def serve(config_path: Path | None, workers: int | None, conformance: bool) -> None:
    """
    Run the server.

    SIGTERM and Ctrl-C stop it: what was accepted is finished, within shutdownSeconds. A second signal ends it at once.

    \b
    Examples:
      users-server serve
      users-server serve --config /etc/users-server/config.json
      users-server serve --workers 4
      USERS_SERVER__HTTP__PORT=80 users-server serve
    """
    config = dataclasses.replace(read_config(config_path), conformance=conformance)
    if workers is not None:
        config = _with_workers(config, workers)
    configure_logging(config.logging.level, config.logging.format)
    count = worker_count(config.workers)
    if count == 1:
        _work(config, None)
        return
    raise SystemExit(_supervise(config, count))


def _with_workers(config: Config, count: int) -> Config:
    config = dataclasses.replace(config, workers=dataclasses.replace(config.workers, count=count))
    mistakes = list(check_workers(config))
    if mistakes:
        raise ConfigErrors(mistakes)
    return config


def _supervise(config: Config, count: int) -> int:
    from users_server.app import check_ports  # loaded before the forks, which so share its memory

    check_ports(config)

    def announce(first: Ready) -> None:
        click.echo(_greet(config, first))

    supervisor = Supervisor(
        count, lambda end: _work(_as_worker(config, end), end), announce, shutdown_seconds=config.shutdown_seconds
    )
    return supervisor.run()


def _greet(config: Config, ready: Ready) -> str:
    return greeting(
        config,
        ready.http_port,
        ready.websocket_port,
        ready.generated_password,
        app_credentials=ready.app_credentials,
    )


def _as_worker(config: Config, end: WorkerEnd) -> Config:
    """``config`` with the ports that the first worker found where any free one would do."""
    if end.first is None:
        return config
    return dataclasses.replace(
        config,
        http=dataclasses.replace(config.http, port=end.first.http_port),
        websocket=dataclasses.replace(config.websocket, port=end.first.websocket_port),
    )


def _work(config: Config, end: WorkerEnd | None) -> None:
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_run(config, end))


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """uvloop's where it is installed; else asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _run(config: Config, end: WorkerEnd | None) -> None:
    from users_server.app import Server  # here, so that commands that need no server start at once

    stopping = _on_signals() if end is None else _on_parent(end)
    server = Server(config, worker=None if end is None else end.index)
    raise_descriptor_limit(config.websocket.max_connections)
    try:
        if await _started(server, stopping):
            keep_out_of_collections()
            new = server.new_app
            credentials = None if new is None else (new.key, new.secret, new.api_key)
            ready = Ready(server.http_port, server.websocket_port, server.generated_password, credentials)
            if end is None:
                click.echo(_greet(config, ready))
            else:
                end.tell(ready)
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


def _on_parent(end: WorkerEnd) -> asyncio.Event:
    """
    An event that is set when the parent lets go of this worker, or is gone.

    An init system may send SIGTERM to parent and workers alike; so one SIGTERM is no more than the parent's own word.
    """
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()

    def stop() -> None:
        stopping.set()
        loop.remove_reader(end.lifeline)

    loop.add_reader(end.lifeline, stop)
    loop.add_signal_handler(signal.SIGTERM, stopping.set)
    return stopping
