"""
Real Redis servers for tests: one, a Cluster, or one with a replica and Sentinels.

``USERS_SERVER_TEST_REDIS`` names the redis-server program; else it is taken from ``PATH``. Every server is this test
run's own, on a free port, and dies with it.
"""

from __future__ import annotations

import os
import shutil
import socket
import time
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import hiredis
import pytest

from tests.child_server import ChildServer
from tests.missing import missing


class RedisServer(ChildServer):
    """
    A Redis.

    Args:
        is_durable: Keep every write in a file, so that a restart loses nothing; else it loses everything.
        options: More options of the command line.
    """

    def __init__(
        self, program: Path, directory: Path, *, is_durable: bool = False, options: Sequence[str] = (), port: int = 0
    ) -> None:
        super().__init__(program, directory, port=port)
        self._options = [*_DURABLE, *options] if is_durable else [*_FORGETFUL, *options]

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def call(self, *command: str | bytes | int) -> Any:
        """One command, and its answer; an error is raised."""
        with RedisClient(self.port) as client:
            return client.call(*command)

    def _command(self, port: int) -> Sequence[str]:
        return [
            str(self._program),
            *("--port", str(port), "--bind", "127.0.0.1", "--dir", str(self._directory), "--daemonize", "no"),
            *self._options,
        ]

    def _answers(self, port: int) -> bool:
        try:
            with RedisClient(port, timeout_seconds=0.5) as client:
                client.call("PING")
        except (OSError, hiredis.ReplyError):
            time.sleep(0.02)
            return False
        return True


class RedisSentinel(RedisServer):
    """A Sentinel that watches ``master`` under the name ``main``."""

    def __init__(self, program: Path, directory: Path, master: RedisServer, quorum: int) -> None:
        super().__init__(program, directory)
        self._master = master
        self._quorum = quorum

    def _command(self, port: int) -> Sequence[str]:
        config = self._directory / "sentinel.conf"
        if not config.exists():
            config.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {self._directory}\n"
                f"sentinel monitor main 127.0.0.1 {self._master.port} {self._quorum}\n"
                "sentinel down-after-milliseconds main 500\nsentinel failover-timeout main 5000\n"
            )
        return [str(self._program), str(config), "--sentinel"]


class SentinelSet:
    """A master, a replica, and three Sentinels, which make the replica the master when the first dies."""

    def __init__(self, program: Path, directory: Path) -> None:
        self.master = RedisServer(program, directory / "first")
        self._program, self._directory = program, directory
        self.replica: RedisServer | None = None
        self._sentinels: list[RedisSentinel] = []

    @property
    def url(self) -> str:
        return "redis+sentinel://" + ",".join(f"127.0.0.1:{one.port}" for one in self._sentinels) + "/main/0"

    def start(self) -> SentinelSet:
        """Return when the replica is in step and the Sentinels know each other."""
        self.master.start()
        options = ("--replicaof", "127.0.0.1", str(self.master.port), "--repl-diskless-sync-delay", "0")
        self.replica = RedisServer(self._program, self._directory / "second", options=options).start()
        self._sentinels = [
            RedisSentinel(self._program, self._directory / f"sentinel{number}", self.master, 2) for number in range(3)
        ]
        for sentinel in self._sentinels:
            sentinel.start()
        until(lambda: b"master_link_status:up" in self.replica.call("INFO", "replication"))  # type: ignore[union-attr]
        until(lambda: all(self._is_ready(sentinel) for sentinel in self._sentinels), seconds=30)
        return self

    def stop(self) -> None:
        for server in [*self._sentinels, self.replica, self.master]:
            if server is not None:
                server.kill()

    def wait_for_replica(self) -> None:
        """Return when the replica has everything."""
        with RedisClient(self.master.port) as client:
            client.call("SET", "marker", 1)
            assert client.call("WAIT", 1, 5000) == 1

    @staticmethod
    def _is_ready(sentinel: RedisSentinel) -> bool:
        fields = sentinel.call("SENTINEL", "MASTER", "main")
        known = dict(zip(fields[::2], fields[1::2], strict=True))
        return known[b"num-other-sentinels"] == b"2" and known[b"num-slaves"] == b"1"


class RedisCluster:
    """Three masters, and with ``has_replicas`` a replica of each."""

    def __init__(self, program: Path, directory: Path, *, has_replicas: bool = False) -> None:
        options = ["--cluster-enabled", "yes", "--cluster-node-timeout", "1000", "--repl-diskless-sync-delay", "0"]
        count = 6 if has_replicas else 3
        self.servers = [RedisServer(program, directory / str(number), options=options) for number in range(count)]

    @property
    def url(self) -> str:
        return "redis+cluster://" + ",".join(f"127.0.0.1:{server.port}" for server in self.servers[:3])

    def start(self) -> RedisCluster:
        """Return when every slot is served and every server knows so."""
        for server in self.servers:
            server.start()
        masters, replicas = self.servers[:3], self.servers[3:]
        for number, server in enumerate(masters):
            first, last = number * 16384 // 3, (number + 1) * 16384 // 3 - 1
            server.call("CLUSTER", "ADDSLOTSRANGE", first, last)
            server.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        for server in self.servers[1:]:
            server.call("CLUSTER", "MEET", "127.0.0.1", masters[0].port)
        until(
            lambda: all(
                len(server.call("CLUSTER", "NODES").splitlines()) == len(self.servers) for server in self.servers
            )
        )
        for master, replica in zip(masters, replicas, strict=False):
            until(lambda master=master, replica=replica: _replicates(replica, master), seconds=20)
        until(self.is_ok, seconds=30)
        return self

    def stop(self) -> None:
        for server in self.servers:
            server.kill()

    def wait_for_replicas(self) -> None:
        """Return when the replicas have everything."""
        for server in self.servers[:3]:
            until(lambda server=server: _is_replicated(server))  # type: ignore[misc]

    def is_ok(self) -> bool:
        return all(b"cluster_state:ok" in server.call("CLUSTER", "INFO") for server in self.servers)

    def owner_of(self, slot: int) -> RedisServer:
        """The master that serves ``slot``."""
        for first, last, master, *_ in self.servers[0].call("CLUSTER", "SLOTS"):
            if first <= slot <= last:
                return next(server for server in self.servers if server.port == master[1])
        raise LookupError(f"nobody serves slot {slot}")

    def begin_move(self, slot: int, to: RedisServer) -> RedisServer:
        """From now on the owner of ``slot``, which is returned, sends on whoever asks for a key that it has not."""
        owner = self.owner_of(slot)
        owner_id, to_id = (server.call("CLUSTER", "MYID") for server in (owner, to))
        to.call("CLUSTER", "SETSLOT", slot, "IMPORTING", owner_id)
        owner.call("CLUSTER", "SETSLOT", slot, "MIGRATING", to_id)
        return owner

    def move_keys(self, slot: int, owner: RedisServer, to: RedisServer) -> None:
        """Bring the keys over."""
        while keys := owner.call("CLUSTER", "GETKEYSINSLOT", slot, 100):
            owner.call("MIGRATE", "127.0.0.1", to.port, "", 0, 5000, "KEYS", *keys)

    def end_move(self, slot: int, owner: RedisServer, to: RedisServer) -> None:
        """The slot belongs to ``to``."""
        to_id = to.call("CLUSTER", "MYID")
        for server in (to, owner, *(one for one in self.servers[:3] if one not in (to, owner))):
            server.call("CLUSTER", "SETSLOT", slot, "NODE", to_id)


class RedisClient:
    """A blocking client: ``with RedisClient(port) as client``."""

    def __init__(self, port: int, *, timeout_seconds: float = 5.0) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout_seconds)
        self._reader = hiredis.Reader()

    def __enter__(self) -> RedisClient:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()

    def call(self, *command: str | bytes | int) -> Any:
        """A command's answer; an error is raised."""
        self._socket.sendall(hiredis.pack_command(command))  # type: ignore[arg-type]  # its stub knows one-tuples alone
        while (reply := self._reader.gets()) is False:
            data = self._socket.recv(65536)
            if not data:
                raise ConnectionResetError("Redis has closed the connection")
            self._reader.feed(data)
        if isinstance(reply, hiredis.ReplyError):
            raise reply
        return reply


def find_redis() -> Path:
    """The program. Skips the test where there is none; on CI a missing one fails it."""
    named = os.environ.get("USERS_SERVER_TEST_REDIS")
    found = shutil.which(named or "redis-server")
    if not found:
        missing(
            f"USERS_SERVER_TEST_REDIS names {named}, which is not a program"
            if named
            else "no Redis: install redis-server (7 or newer), or set USERS_SERVER_TEST_REDIS to the program"
        )
    return Path(found).absolute()


def until(condition: Any, *, seconds: float = 10.0) -> None:
    """Return when ``condition()`` is true; fail if it does not become so."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            pytest.fail(f"it did not become true within {seconds} seconds")
        time.sleep(0.02)


_FORGETFUL = ["--save", "", "--appendonly", "no"]
_DURABLE = ["--save", "", "--appendonly", "yes", "--appendfsync", "always"]


def _replicates(replica: RedisServer, master: RedisServer) -> bool:
    try:
        replica.call("CLUSTER", "REPLICATE", master.call("CLUSTER", "MYID"))
    except hiredis.ReplyError:
        return False  # it does not know the master yet
    return True


def _is_replicated(server: RedisServer) -> bool:
    """Whether the one replica of ``server`` has taken everything."""
    role, offset, replicas = server.call("ROLE")
    return role == b"master" and len(replicas) == 1 and int(replicas[0][2]) >= offset
