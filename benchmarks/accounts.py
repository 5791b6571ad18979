"""
What a login, a page of accounts and a search cost with a thousand accounts and with a million, and how late the event
loop is while a thousand people log in at once.

Ends with 0 if everything could be measured, whatever the figures; 2 if not.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import secrets
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this working tree, wherever it is run

from harness import accounts, machine

from users_server.app import Server
from users_server.backends.sqlite import SQLiteStore
from users_server.config import Config
from users_server.config.settings import DatabaseSettings, LoggingSettings
from users_server.core.clock import SystemClock
from users_server.core.interfaces import Store
from users_server.core.messages import Identity, Revocation
from users_server.logs import configure_logging
from users_server.services.audit import AuditLog
from users_server.services.passwords import Argon2Costs, PasswordService
from users_server.services.sessions import SessionService
from users_server.services.settings import AuditSettings, LoginLimits, PasswordSettings, SessionSettings
from users_server.services.throttle import LoginThrottle
from users_server.services.user_events import UserEventPublisher
from users_server.services.users import UserService

CHEAP = Argon2Costs(time_cost=1, memory_kibibytes=8, parallelism=1)
"""So that the store's part of a login is seen; a real hash takes some 50 ms more, with any number of accounts."""

UNLIMITED = LoginLimits(0, 0)
THIS_PROGRAM = str(Path(__file__).resolve())
PROBE_SECONDS = 0.005
CONNECTING = 100
"""How many connect at once: the server drops the oldest of many connections that say nothing yet."""
SOMEBODY = Identity("f" * 24, "somebody", 3)


class Nobody:
    """A node without clients."""

    async def publish(self, app: str, channel: str, event: str, data: Any) -> None: ...

    async def revoke(self, revocation: Revocation) -> None: ...


@dataclass(frozen=True)
class Bench:
    """The services over one database."""

    store: Store
    passwords: PasswordService
    users: UserService
    audit: AuditLog

    @classmethod
    def over(cls, store: Store) -> Bench:
        clock = SystemClock()
        events = UserEventPublisher(Nobody())
        passwords = PasswordService(PasswordSettings(), costs=CHEAP)
        sessions = SessionService(store, events, Nobody(), SessionSettings(), clock)
        audit = AuditLog(store, AuditSettings(), clock)
        # With limits, so that the attempts are counted in the store as they are in a server.
        throttle = LoginThrottle(store, LoginLimits(), clock)
        users = UserService(store, passwords, sessions, events, throttle, clock, max_meta_bytes=1000, audit=audit)
        return cls(store, passwords, users, audit)


async def median_ms(work: Callable[[int], Awaitable[object]], seconds: float, most: int) -> float:
    """The median time of ``work``, called one after the other for ``seconds``, ``most`` times at most."""
    times = []
    end = time.perf_counter() + seconds
    for number in range(most):
        started = time.perf_counter()
        await work(number)
        times.append(time.perf_counter() - started)
        if time.perf_counter() >= end:
            break
    return statistics.median(times) * 1000


async def measure(bench: Bench, count: int, seconds: float) -> dict[str, float | str]:
    """Milliseconds for each kind of work; a text where it did not work."""
    works: dict[str, Callable[[int], Awaitable[object]]] = {
        "login": lambda number: bench.users.login(accounts.username(number * 7919 % count), accounts.PASSWORD),
        "login, unknown name": lambda number: _refused(bench.users.login(f"nobody{number}", "wrong")),
        "first page": lambda _: bench.users.list(SOMEBODY, limit=20),
        "page in the middle": lambda _: bench.users.list(SOMEBODY, index=count // 2, limit=20),
        "search, one account": lambda number: bench.users.list(SOMEBODY, search=f"n{number * 7919 % count}", limit=20),
        "search, everybody": lambda _: bench.users.list(SOMEBODY, search="user", limit=20),
        "search, two letters, nobody": lambda _: bench.users.list(SOMEBODY, search="zz", limit=20),
    }
    figures: dict[str, float | str] = {}
    for name, work in works.items():
        try:
            await work(0)
            figures[name] = round(await median_ms(work, seconds, 2000), 3)
        except Exception as error:
            figures[name] = type(error).__name__
    await bench.audit.flush()
    return figures


async def _refused(login: Awaitable[object]) -> None:
    try:
        await login
    except Exception as error:
        if getattr(error, "reason", "") != "unauthenticated":
            raise


async def compare(kind: str, url: str | None, directory: Path, counts: Sequence[int], seconds: float) -> dict[str, Any]:
    """Figures of one store by number of accounts."""
    figures: dict[str, Any] = {}
    for count in counts:
        name = f"bench_{count}_{secrets.token_hex(3)}"
        path = directory / f"{name}.db"
        store, url_of = make_store(kind, url, path, name)
        await store.open()
        bench = Bench.over(store)
        password_hash = await bench.passwords.hash(accounts.PASSWORD)
        await store.close()
        started = time.perf_counter()
        if kind == "sqlite":
            await asyncio.to_thread(accounts.fill_sqlite, path, count, password_hash)
        else:
            await asyncio.to_thread(accounts.fill_mongodb, url_of, count, password_hash)
        filled = time.perf_counter()
        await store.open()
        opened = time.perf_counter()
        figures[str(count)] = await measure(bench, count, seconds) | {
            "filled in seconds": round(filled - started, 1),
            "opened in seconds": round(opened - filled, 2),
        }
        await store.close()
        await bench.passwords.close()
        if kind == "sqlite":
            figures[str(count)]["megabytes"] = round(path.stat().st_size / 1e6, 1)
            path.unlink()
        print(json.dumps({kind: {count: figures[str(count)]}}), file=sys.stderr)
    return figures


def make_store(kind: str, url: str | None, path: Path, name: str) -> tuple[Store, str]:
    """A store for a database of its own, and its URL."""
    if kind == "sqlite":
        return SQLiteStore(path), f"sqlite:///{path}"
    from users_server.backends.mongodb import MongoStore

    if url is None:
        raise SystemExit("--mongodb needs the URL of a server")
    database = f"{url.rstrip('/')}/{name}"
    return MongoStore(database), database


class LagProbe:
    """How late a timer of the loop comes, every few milliseconds."""

    def __init__(self) -> None:
        self.late: list[float] = []
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        self._arm(asyncio.get_running_loop())

    def stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _arm(self, loop: asyncio.AbstractEventLoop) -> None:
        due = loop.time() + PROBE_SECONDS
        self._timer = loop.call_at(due, self._observe, loop, due)

    def _observe(self, loop: asyncio.AbstractEventLoop, due: float) -> None:
        self.late.append(max(0.0, loop.time() - due))
        self._arm(loop)


async def storm(directory: Path, logins: int, settings: PasswordSettings) -> dict[str, Any]:
    """A real server with real hashes, and ``logins`` people who log in at once, from a process of their own."""
    path = directory / "storm.db"
    store = SQLiteStore(path)
    await store.open()
    await store.close()
    passwords = PasswordService(settings)
    accounts.fill_sqlite(path, logins, await passwords.hash(accounts.PASSWORD))
    await passwords.close()
    config = Config(
        database=DatabaseSettings(f"sqlite:///{path}"),
        logging=LoggingSettings("error"),
        login_limits=UNLIMITED,
        passwords=settings,
    )
    config = replace(
        config,
        http=replace(config.http, port=0),
        websocket=replace(config.websocket, port=0),
        apps=replace(config.apps, key_file=str(directory / "users-server.key")),
        files=replace(config.files, folder=str(directory / "files")),
        shutdown_seconds=1.0,
    )
    server = Server(config)
    await server.start()
    probe = LagProbe()
    try:
        crowd = await asyncio.create_subprocess_exec(
            *(sys.executable, THIS_PROGRAM, "--crowd", str(server.http_port), str(logins)),
            stdout=asyncio.subprocess.PIPE,
        )
        assert crowd.stdout is not None
        await crowd.stdout.readline()  # it is ready
        probe.start()
        report = json.loads(await crowd.stdout.readline())
        await crowd.wait()
    finally:
        probe.stop()
        await server.stop()
    return report | _quantiles("lag", probe.late)


def _quantiles(name: str, seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    return {
        f"{name} p{part:g} ms": round(ordered[min(len(ordered) - 1, int(len(ordered) * part / 100))] * 1000, 2)
        for part in (50, 99, 99.9, 100)
    }


async def be_a_crowd(port: int, logins: int) -> None:
    """Log in as everybody at once, and say how it went."""
    print("ready", flush=True)
    started = time.perf_counter()
    connecting = asyncio.Semaphore(CONNECTING)
    answers = await asyncio.gather(*(_log_in(port, number, connecting) for number in range(logins)))
    report = {
        "seconds": round(time.perf_counter() - started, 2),
        "statuses": dict(Counter(status for status, _ in answers)),
    }
    print(json.dumps(report | _quantiles("answer", [seconds for _, seconds in answers])), flush=True)


async def _log_in(port: int, number: int, connecting: asyncio.Semaphore) -> tuple[int, float]:
    body = json.dumps({"username": accounts.username(number), "password": accounts.PASSWORD}).encode()
    head = (
        "POST /users/login HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nContent-Type: application/json\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    started = time.perf_counter()
    async with connecting:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(head.encode() + body)
    answer = await reader.read()
    writer.close()
    status = int(answer.split(b" ", 2)[1]) if answer else 0  # 0: the server hung up
    return status, time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", default="1000,1000000", help="numbers of accounts to compare")
    parser.add_argument("--secs", type=float, default=2.0, help="how long each kind of work is repeated")
    parser.add_argument("--mongodb", metavar="URL", help="measure this server too; databases are made there")
    parser.add_argument("--skip-sqlite", action="store_true")
    parser.add_argument("--logins", type=int, default=1000, help="how many log in at once; 0 for none")
    parser.add_argument("--workers", type=int, default=PasswordSettings().hash_workers, help="hashing threads")
    parser.add_argument("--max-waiting", type=int, default=PasswordSettings().max_waiting)
    parser.add_argument("--directory", type=Path, help="where the databases are made")
    parser.add_argument("--crowd", nargs=2, type=int, metavar=("PORT", "LOGINS"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    machine.raise_descriptor_limit()
    if options.crowd:
        asyncio.run(be_a_crowd(*options.crowd))
        return 0
    configure_logging("critical", "console")
    print(json.dumps(run(measure_all(options)), indent=2))
    return 0


async def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    counts = [int(count) for count in options.counts.split(",") if count]
    results: dict[str, Any] = {"machine": machine.describe()}
    with tempfile.TemporaryDirectory(dir=options.directory) as name:
        directory = Path(name)
        if counts and not options.skip_sqlite:
            results["sqlite"] = await compare("sqlite", None, directory, counts, options.secs)
        if counts and options.mongodb:
            results["mongodb"] = await compare("mongodb", options.mongodb, directory, counts, options.secs)
        if options.logins:
            settings = PasswordSettings(hash_workers=options.workers, max_waiting=options.max_waiting)
            results["logins at once"] = await storm(directory, options.logins, settings)
    return results


def run(main: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    """On the loop that the server has."""
    try:
        import uvloop
    except ImportError:
        factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    else:
        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


if __name__ == "__main__":
    sys.exit(main())
