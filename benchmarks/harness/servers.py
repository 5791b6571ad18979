"""
The servers that are measured: how each is started, and what it lacks on this machine.

Every one does the same work: a message with ``"broadcast":true`` goes to everybody, any other back to its sender.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from harness.machine import process_ids

HERE = Path(__file__).resolve().parent.parent
START_SECONDS = 30.0
STOP_SECONDS = 15.0
ORIGIN = "http://localhost"


class BenchmarkError(Exception):
    """A run failed, or cannot be made; the message says why."""


@dataclass(frozen=True)
class Toolchain:
    """
    Where things are.

    ``python`` runs our server, ``peers_python`` the others in Python; ``build`` has the compiled C programs.
    """

    python: str
    peers_python: str
    node_modules: Path
    build: Path


@dataclass(frozen=True)
class Server:
    """
    One of the servers. ``runtime`` is users-server, python, node or c; ``program`` is a file in servers/.

    ``requires`` names what it must have: a Python module or a package in node_modules. ``skips`` names the groups of
    workloads that mean nothing for it.
    """

    name: str
    title: str
    runtime: str
    program: str = ""
    requires: str = ""
    is_socketio: bool = False
    skips: tuple[str, ...] = ()

    @property
    def client_arguments(self) -> list[str]:
        """What the load client must be told to speak with it."""
        if self.is_socketio:
            return ["--protocol", "socketio", "--path", "/socket.io/?EIO=4&transport=websocket", "--origin", ORIGIN]
        return ["--path", "/", "--origin", ORIGIN]


OURS = "users-server"
REFERENCE = "ws"

SERVERS = (
    Server(OURS, "users-server", "users-server"),
    Server(REFERENCE, "npm ws", "node", "ws.js", "ws"),
    Server("socket.io", "npm socket.io", "node", "socketio.js", "socket.io", is_socketio=True),
    Server("websockets", "Python websockets", "python", "websockets_server.py", "websockets"),
    Server("python-socketio", "python-socketio", "python", "socketio_server.py", "socketio", is_socketio=True),
    Server("starlette", "Starlette, uvicorn", "python", "starlette_server.py", "starlette"),
    # It keeps nothing for a connection and queues nothing, so its memory and its stalled readers say nothing.
    Server("floor", "C, one send(2) each", "c", "floor.c", skips=("idle", "connect", "stalled")),
)


@dataclass(frozen=True)
class RunningServer:
    """A server that accepts connections."""

    server: Server
    process: subprocess.Popen[bytes]
    port: int
    log: Path

    def process_ids(self) -> list[int]:
        """Its process and all that it has started."""
        return process_ids(self.process.pid)

    def check(self) -> None:
        """Raise :class:`BenchmarkError`, with the end of its log, if it has ended by itself."""
        if self.process.poll() is not None:
            status = self.process.returncode
            raise BenchmarkError(f"{self.server.title} ended with status {status}:\n{end_of_log(self.log)}")


def missing(server: Server, tools: Toolchain) -> str | None:
    """What ``server`` lacks on this machine; None if it can be started."""
    if server.runtime == "node":
        if not shutil.which("node"):
            return "Node.js"
        if not (tools.node_modules / server.requires).is_dir():
            return f"the npm package {server.requires} in {tools.node_modules}"
    if server.runtime == "python" and importlib.util.find_spec(server.requires) is None:
        return f"the Python package {server.requires} in {tools.peers_python}"
    if server.runtime == "users-server" and not _can_import(tools.python):
        return f"users_server and what it needs in {tools.python}"
    return None


def _can_import(python: str) -> bool:
    command = [python, "-c", "import users_server.cli"]
    return subprocess.run(command, cwd=HERE.parent, capture_output=True).returncode == 0


@contextmanager
def running(server: Server, tools: Toolchain, core: int | None) -> Iterator[RunningServer]:
    """
    Start ``server`` in a folder of its own, pinned to ``core``, and stop it at the end.

    Raises:
        BenchmarkError: If it does not accept a connection within half a minute; with the end of its log.
    """
    with tempfile.TemporaryDirectory(prefix="benchmark-") as folder:
        port, other_port = free_ports(2)
        log = Path(folder, "server.log")
        with log.open("wb") as output:
            process = subprocess.Popen(
                _command(server, tools, port, Path(folder)),
                cwd=folder,
                env=_environment(server, tools, port, other_port),
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=None if core is None else lambda: os.sched_setaffinity(0, {core}),
            )
        try:
            started = RunningServer(server, process, port, log)
            wait_until_accepted(started.port, started.check, started.log, server.title)
            yield started
        finally:
            stop(process)


def _command(server: Server, tools: Toolchain, port: int, folder: Path) -> list[str]:
    program = HERE / "servers" / server.program
    match server.runtime:
        case "node":
            return ["node", str(program), str(port)]
        case "python":
            return [tools.peers_python, str(program), str(port)]
        case "c":
            return [str(tools.build / program.stem), str(port)]
        case _:
            # A copy, because the server keeps its key and its files beside its config.
            config = shutil.copy(HERE / "users_server.json", folder)
            return [tools.python, "-m", "users_server", "serve", "--config", str(config)]


def _environment(server: Server, tools: Toolchain, port: int, other_port: int) -> dict[str, str]:
    environment = dict(os.environ)
    if server.runtime == "node":
        environment["NODE_PATH"] = str(tools.node_modules)
    if server.runtime == "users-server":
        # Its database's path is relative to the folder that it is started in, which is a temporary one.
        environment["PYTHONPATH"] = str(HERE.parent)
        environment["USERS_SERVER__WEBSOCKET__PORT"] = str(port)
        environment["USERS_SERVER__HTTP__PORT"] = str(other_port)
    return environment


def free_ports(count: int) -> list[int]:
    """Ports of this machine that nobody listens on; another program may be faster."""
    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


def end_of_log(log: Path) -> str:
    """The last two thousand characters that a program printed."""
    return log.read_text(errors="replace")[-2000:].strip() or "(it printed nothing)"


def wait_until_accepted(port: int, check: Callable[[], None], log: Path, title: str) -> None:
    """
    Until ``port`` accepts a connection. ``check`` raises if its server has ended meanwhile.

    Raises :class:`BenchmarkError`, with the end of its log, if that takes too long.
    """
    limit = time.monotonic() + START_SECONDS
    while time.monotonic() < limit:
        check()
        try:
            socket.create_connection(("127.0.0.1", port), timeout=1).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise BenchmarkError(f"{title} accepts no connection on port {port}:\n{end_of_log(log)}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """End it in order; by force if that takes too long."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
