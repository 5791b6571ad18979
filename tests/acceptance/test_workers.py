"""``serve --workers``: several processes on the same ports, joined by Redis."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.ports import free_ports
from tests.redis_server import RedisServer, find_redis, until
from tests.server_process import ServerProcess, UsersClient, make_config

COUNT = 3
ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    server = RedisServer(find_redis(), tmp_path_factory.mktemp("redis")).start()
    yield server
    server.stop()


@pytest.fixture
def start(redis: RedisServer, tmp_path: Path) -> Iterator[Callable[..., ServerProcess]]:
    servers: list[ServerProcess] = []

    def run(**sections: Any) -> ServerProcess:
        directory = tmp_path / f"server{len(servers)}"
        directory.mkdir()
        broker = {"url": redis.url, "prefix": f"{directory.name}-{os.getpid()}:"}
        workers = {"statusPort": free_ports(COUNT)}
        config = make_config(directory, broker=broker, workers=workers, **sections)
        servers.append(ServerProcess(config, directory, arguments=("--workers", str(COUNT))).start())
        return servers[-1]

    yield run
    for server in servers:
        server.stop()


def workers_of(server: ServerProcess) -> list[int]:
    """The processes, by the number of the worker."""
    found = dict(re.findall(r'"worker": ?(\d+)[^\n]*"worker_pid": ?(\d+)[^\n]*worker started', server.log))
    found |= dict(re.findall(r'worker started[^\n]*"worker": ?(\d+)[^\n]*"worker_pid": ?(\d+)', server.log))
    return [int(found[key]) for key in sorted(found)]


def connections(server: ServerProcess) -> list[int]:
    """How many each worker has."""
    first = server.config["workers"]["statusPort"]
    texts = [UsersClient(first + number).get("/metrics").body for number in range(COUNT)]
    return [round(float(re.search(r"^users_server_connections (\S+)", text, re.MULTILINE)[1])) for text in texts]  # type: ignore[index]


def crowd(server: ServerProcess, size: int) -> list[Any]:
    return [server.connect() for _ in range(size)]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    # one that has ended and that nobody has waited for is gone, too
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"


def test_they_share_the_ports_and_are_one_server(start: Callable[..., ServerProcess]) -> None:
    server = start()
    clients = crowd(server, 30)
    shares = connections(server)
    assert sum(shares) == 30
    assert sum(share > 0 for share in shares) >= 2, "the kernel spreads connections over the workers"
    clients[0].send_event(eventType=10, message="to all", broadcast=True)
    for client in clients:
        assert client.read_event() == {"eventType": 10, "message": "to all"}
    server.admin()
    for client in clients:
        assert client.read_event() == {"eventType": 1, "username": "chief"}
        client.close()


def test_a_log_out_on_one_closes_sockets_on_all(start: Callable[..., ServerProcess]) -> None:
    server = start()
    admin = server.admin()
    clients = [server.connect(cookie=admin.cookie) for _ in range(12)]
    assert admin.get("/logout").status == 200
    for client in clients:
        assert client.read_event() == {"eventType": 2, "username": "chief"}
        client.expect_close(4401)
        client.close()


def test_the_command_line_reaches_all_of_them(start: Callable[..., ServerProcess]) -> None:
    server = start()
    server.admin().create("ann", password="correct horse")
    ann = server.http()
    ann.login("ann", "correct horse")
    clients = [server.connect(cookie=ann.cookie) for _ in range(6)]
    bystander = server.connect()
    arguments = [sys.executable, "-m", "users_server", "user", "remove", "ann", "--yes"]
    result = subprocess.run(
        arguments,
        cwd=server.directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (result.returncode, result.stdout) == (0, "Removed ann\n"), result.stderr
    for client in clients:
        assert client.read_event() == {"eventType": 2, "username": "ann"}
        client.expect_close(4401)
        client.close()
    events = [bystander.read_event()["eventType"] for _ in range(3)]
    assert (events[0], events[-1]) == (2, 4)
    bystander.close()


def test_the_first_password_is_made_and_printed_once(start: Callable[..., ServerProcess]) -> None:
    server = start(adminUser={"password": ""})
    passwords = re.findall(r"chief, password (\S+)$", server.log, re.MULTILINE)
    assert len(passwords) == 1
    for _ in range(6):
        server.http().login("chief", passwords[0])
    assert server.log.count("users-server is ready") == 1


def test_one_that_dies_is_started_again(start: Callable[..., ServerProcess]) -> None:
    server = start()
    server.allowed_problems = ["worker died"]
    before = workers_of(server)
    assert len(before) == COUNT
    os.kill(before[1], signal.SIGKILL)
    server.wait_for_log("worker died")
    until(lambda: workers_of(server)[1] != before[1], seconds=20)
    port = server.config["workers"]["statusPort"] + 1
    until(lambda: answers(port), seconds=20)
    after = workers_of(server)
    assert (after[0], after[2]) == (before[0], before[2])
    assert all(client.ask(eventType=10, message="hello") for client in crowd_once(server, 9))


def crowd_once(server: ServerProcess, size: int) -> Iterator[Any]:
    for _ in range(size):
        with server.connect() as client:
            yield client


def answers(port: int) -> bool:
    try:
        return UsersClient(port).get("/readyz").status == 200
    except OSError:
        return False


def test_an_orderly_end_says_goodbye_everywhere(start: Callable[..., ServerProcess]) -> None:
    server = start()
    clients, workers = crowd(server, 12), workers_of(server)
    server.terminate()
    for client in clients:
        client.expect_close(1001)
        client.close()
    assert server.wait() == 0
    assert all(map(is_gone, workers))
    server.check_log()


def test_a_signal_to_all_of_them_is_an_orderly_end_too(start: Callable[..., ServerProcess]) -> None:
    """As from an init system, which signals every process of a service."""
    server = start()
    client = server.connect()
    for pid in [*workers_of(server), server.pid]:
        os.kill(pid, signal.SIGTERM)
    client.expect_close(1001)
    client.close()
    assert server.wait() == 0


def test_no_worker_outlives_its_parent(start: Callable[..., ServerProcess]) -> None:
    server = start()
    client, workers = server.connect(), workers_of(server)
    server.kill()
    client.expect_close(1001)
    client.close()
    until(lambda: all(map(is_gone, workers)), seconds=20)


def test_a_second_signal_ends_them_at_once(start: Callable[..., ServerProcess]) -> None:
    server = start(shutdownSeconds=60)
    workers = workers_of(server)
    # a client that does not answer the close keeps its worker
    client = server.connect()
    server.terminate()
    client.read_frame()
    server.terminate()
    assert server.wait() == 128 + signal.SIGTERM
    until(lambda: all(map(is_gone, workers)), seconds=20)
    client.close()


def test_what_keeps_the_first_from_starting_is_told_once(redis: RedisServer, tmp_path: Path) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        config = make_config(tmp_path, broker={"url": redis.url}, http={"port": other.getsockname()[1]})
        result = serve(tmp_path, config)
    assert result.returncode == 1
    assert [line for line in result.stderr.splitlines() if line.startswith("Error")] == [
        line for line in result.stderr.splitlines() if "http.port: cannot listen" in line
    ]
    config = make_config(tmp_path, broker={"url": redis.url}, database={"url": "mongodb://127.0.0.1:1/x"})
    result = serve(tmp_path, config)
    assert result.returncode == 1
    assert sum(line.startswith("Error") for line in result.stderr.splitlines()) == 1


def test_without_redis_it_says_what_to_do(tmp_path: Path) -> None:
    result = serve(tmp_path, make_config(tmp_path))
    assert result.returncode == 2
    assert "workers.count: expected 1 where broker.url is memory://" in result.stderr


def serve(directory: Path, config: Any) -> subprocess.CompletedProcess[str]:
    (directory / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return subprocess.run(
        [sys.executable, "-m", "users_server", "serve", "--workers", "2"],
        cwd=directory,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=90,
        check=False,
    )
