"""
What a fan-out to a thousand subscribers feels of two thousand web hooks a second from the same process, and what one
call costs, beside Tornado's HTTP client.

Ends with 0 if everything could be measured, whatever the figures; 1 if a hook or a delivery was lost.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))  # this working tree, wherever it is run

from harness import machine
from harness.subscriber import Subscriber, Tally, open_subscribers

from users_server.app import Server
from users_server.backends.sqlite import SQLiteStore
from users_server.config import Config
from users_server.config.settings import DatabaseSettings, LoggingSettings
from users_server.core.apps import App
from users_server.core.clock import SystemClock
from users_server.logs import configure_logging
from users_server.services.webhooks import WebhookService, WebhookSettings
from users_server.web.endpoints import EndpointClient
from users_server.web.outgoing import JSONPoster

THIS_PROGRAM = str(Path(__file__).resolve())
ORIGIN = "http://localhost"
TICK_SECONDS = 0.01
CHANNELS = 100
SETTLE_SECONDS = 30.0
CALLS_AT_ONCE = 10
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


# The page that receives the hooks


@dataclass
class Received:
    """Ids and latencies of what came."""

    ids: set[str] = field(default_factory=set)
    calls: int = 0
    seconds: list[float] = field(default_factory=list)


class Page(asyncio.Protocol):
    """Answers every request at once, and keeps the connection."""

    def __init__(self, received: Received) -> None:
        self._received = received
        self._pending = b""
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        data = self._pending + data
        while (end := data.find(b"\r\n\r\n")) >= 0:
            headers = dict(line.lower().split(b": ", 1) for line in data[:end].split(b"\r\n")[1:])
            size = end + 4 + int(headers[b"content-length"])
            if len(data) < size:
                break
            self._received.calls += 1
            self._received.ids.add(headers.get(b"webhook-id", b"").decode())
            if sent := json.loads(data[end + 4 : size]).get("sent"):
                self._received.seconds.append((time.monotonic_ns() - sent) / 1e9)
            self._transport.write(ANSWER)
            data = data[size:]
        self._pending = data


async def be_a_page() -> None:
    """Print the port; then a report for each line of the input, until it ends."""
    received = Received()
    listener = await asyncio.get_running_loop().create_server(lambda: Page(received), "127.0.0.1", 0)
    print(listener.sockets[0].getsockname()[1], flush=True)
    while await asyncio.to_thread(sys.stdin.readline):
        report = {"calls": received.calls, "hooks": len(received.ids - {""})} | quantiles("hook", received.seconds)
        print(json.dumps(report), flush=True)
        received.seconds.clear()


# The server


class OneApp:
    """The app whose hooks are sent."""

    def __init__(self, port: int) -> None:
        url = f"http://127.0.0.1:{port}/hooks"
        self.app = App("hooks", "Hooks", (), 0, webhook_endpoint=url, sealed_webhook_key="x" * 32)

    async def get(self, app_id: str) -> App:
        return self.app

    def webhook_key(self, app: App) -> str:
        return app.sealed_webhook_key


class Load:
    """Announces at ``rate`` hooks a second, half of them ends of the others."""

    def __init__(self, service: WebhookService, app: App) -> None:
        self.rate = 0.0
        self.announced = 0
        self._service = service
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    async def run(self) -> None:
        owed, last = 0.0, time.monotonic()
        while True:
            await asyncio.sleep(TICK_SECONDS)
            now = time.monotonic()
            owed += self.rate / 2 * (now - last)
            last = now
            while owed >= 1:
                owed -= 1
                task = asyncio.create_task(self._one(self.announced))
                self.announced += 1
                self._tasks.add(task)
                task.add_done_callback(self._tasks.discard)

    async def _one(self, number: int) -> None:
        body = {"channel": f"room{number % CHANNELS}", "event": "join", "socket_id": f"player{number}"}
        now = body | {"sent": time.monotonic_ns()}
        announcement = await self._service.announce(self._app, body["channel"], now, body | {"event": "leave"})
        assert announcement
        self._service.end(announcement)


async def be_a_server(folder: Path, page_port: int) -> None:
    """Print the port of the sockets; then set the ``rate``, or compare ``calls``, by the lines of the input."""
    path = folder / "bench.db"
    config = Config(database=DatabaseSettings(f"sqlite:///{path}"), logging=LoggingSettings("error"))
    config = replace(
        config,
        http=replace(config.http, port=0),
        websocket=replace(config.websocket, port=0, approved_socket_domains=(".",), max_connections_per_address=0),
        apps=replace(config.apps, key_file=str(folder / "users-server.key")),
        files=replace(config.files, folder=str(folder / "files")),
        webhooks=replace(config.webhooks, allow_private_addresses=True),
    )
    # A second service, on a store of its own, since the server lets nobody at its own: the work is the same. The server
    # knows the app, too, or it would give up what it finds of it; it sends that without a signature.
    clock, apps, store = SystemClock(), OneApp(page_port), SQLiteStore(path)
    await store.open()
    await store.create_app(replace(apps.app, sealed_webhook_key=""))
    server = Server(config)
    await server.start()
    client = EndpointClient(clock, allows_private=True, max_idle=256)
    service = WebhookService(store, apps, client, WebhookSettings(), clock, "benchmark")
    await service.start()
    load = Load(service, apps.app)
    task = asyncio.create_task(load.run())
    print(server.websocket_port, flush=True)
    try:
        while line := await asyncio.to_thread(sys.stdin.readline):
            what, number = line.split()
            if what == "calls":
                print(json.dumps(await compare_clients(page_port, int(number))), flush=True)
                continue
            load.rate = float(number)
            used = resource.getrusage(resource.RUSAGE_SELF)
            report = {"announced": load.announced, "cpu": used.ru_utime + used.ru_stime}
            print(json.dumps(report | {"delivered": service.figures.delivered}), flush=True)
    finally:
        task.cancel()
        await service.stop(5.0)
        client.close()
        await store.close()
        await server.stop()


# Who measures


@dataclass
class TimedTally(Tally):
    """A tally that keeps how long each delivery took."""

    seconds: list[float] = field(default_factory=list)

    def count(self, *, is_in_order: bool, sent_nanoseconds: int) -> None:
        self.seconds.append((time.monotonic_ns() - sent_nanoseconds) / 1e9)
        super().count(is_in_order=is_in_order, sent_nanoseconds=sent_nanoseconds)


class Child:
    """A process of this program that answers each line with a line of JSON."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self.port = 0

    @classmethod
    async def start(cls, core: int | None, *arguments: str) -> Child:
        with machine.pinned(core):
            child = cls(
                await asyncio.create_subprocess_exec(
                    *(sys.executable, THIS_PROGRAM, *arguments),
                    stdin=asyncio.subprocess.PIPE,
                    stdout=asyncio.subprocess.PIPE,
                )
            )
        child.port = int(await child._read())
        return child

    async def ask(self, line: str = "") -> dict[str, Any]:
        assert self.process.stdin
        self.process.stdin.write(line.encode() + b"\n")
        answer: dict[str, Any] = json.loads(await self._read())
        return answer

    async def stop(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        try:
            await asyncio.wait_for(self.process.wait(), SETTLE_SECONDS)
        except TimeoutError:
            self.process.kill()
            await self.process.wait()

    async def _read(self) -> bytes:
        assert self.process.stdout
        line = await self.process.stdout.readline()
        if not line:
            raise SystemExit("a process of the benchmark has ended")
        return line


class Measurement:
    """Alternates between seconds without hooks and seconds with them."""

    def __init__(self, options: argparse.Namespace, server: Child, page: Child) -> None:
        self._options = options
        self._server = server
        self._page = page
        self._published = 0
        self._tally = TimedTally()
        self._subscribers: list[Subscriber] = []

    async def run(self) -> dict[str, Any]:
        options = self._options
        self._subscribers = await open_subscribers(options.subscribers, self._server.port, ORIGIN, self._tally)
        await self._phase(0, min(options.secs, 1.0))  # everything is warm
        rounds = []
        for _ in range(options.rounds):
            without, with_hooks = await self._phase(0, options.secs), await self._phase(options.rate, options.secs)
            await self._server.ask("rate 0")
            rounds.append({"without": without, "with": with_hooks})
            print(json.dumps(rounds[-1]), file=sys.stderr)
        expected = 2 * (await self._server.ask("rate 0"))["announced"]
        hooks = await self._arrived(expected)
        for subscriber in self._subscribers:
            subscriber.abort()
        lost = self._published * options.subscribers - self._tally.received
        return {
            "rounds": rounds,
            "median p99 ms without hooks": statistics.median(each["without"]["fan-out p99 ms"] for each in rounds),
            "median p99 ms with hooks": statistics.median(each["with"]["fan-out p99 ms"] for each in rounds),
            "hooks owed": expected,
            "hooks received": hooks,
            "deliveries lost": lost,
        }

    async def _phase(self, rate: float, seconds: float) -> dict[str, float]:
        before = await self._server.ask(f"rate {rate}")
        await self._page.ask()
        self._tally.seconds.clear()
        start = time.monotonic()
        for number in range(round(seconds * self._options.broadcasts)):
            due = start + number / self._options.broadcasts
            await asyncio.sleep(max(0.0, due - time.monotonic()))
            self._subscribers[0].publish(self._published)
            self._published += 1
        await self._tally.wait_for(self._published * self._options.subscribers, SETTLE_SECONDS)
        took = time.monotonic() - start
        after, page = await self._server.ask(f"rate {rate}"), await self._page.ask()
        return {
            **quantiles("fan-out", self._tally.seconds),
            "server utilisation": round((after["cpu"] - before["cpu"]) / took, 3),
            "hooks a second": round((after["delivered"] - before["delivered"]) / took, 1),
            **{name: value for name, value in page.items() if name.startswith("hook p")},
        }

    async def _arrived(self, expected: int) -> int:
        """How many different hooks have come when all have, or the time is over."""
        for _ in range(round(SETTLE_SECONDS / 0.1)):
            hooks = int((await self._page.ask())["hooks"])
            if hooks >= expected:
                break
            await asyncio.sleep(0.1)
        return hooks


async def compare_clients(port: int, calls: int) -> dict[str, float]:
    """Microseconds of this process' time for a call of a page, some at once."""
    url, body = f"http://127.0.0.1:{port}/", b'{"channel":"lobby"}'
    kept = EndpointClient(SystemClock(), allows_private=True, max_idle=CALLS_AT_ONCE)
    tornado = JSONPoster(max_connections=CALLS_AT_ONCE)
    figures = {
        "kept connections": await _cost(lambda: kept.post(url, body, {}, timeout_seconds=5), calls),
        "Tornado's client": await _cost(
            lambda: tornado.post(url, body, {}, timeout_seconds=5, max_answer_bytes=1000), calls
        ),
    }
    kept.close()
    await tornado.close()
    return figures


async def _cost(call: Callable[[], Coroutine[Any, Any, Any]], calls: int) -> float:
    async def some(count: int) -> None:
        for _ in range(count):
            await call()

    await some(20)
    started = time.process_time()
    await asyncio.gather(*(some(calls // CALLS_AT_ONCE) for _ in range(CALLS_AT_ONCE)))
    return round((time.process_time() - started) / calls * 1e6, 1)


def quantiles(name: str, seconds: list[float]) -> dict[str, float]:
    ordered = sorted(seconds)
    if not ordered:
        return {}
    return {
        f"{name} p{part} ms": round(ordered[min(len(ordered) - 1, len(ordered) * part // 100)] * 1000, 2)
        for part in (50, 99)
    }


async def measure_all(options: argparse.Namespace) -> dict[str, Any]:
    results: dict[str, Any] = {"machine": machine.describe()}
    here, there = machine.usable_core(1), machine.usable_core(0)
    with tempfile.TemporaryDirectory(dir=options.directory) as name, machine.pinned(here):
        page = await Child.start(here, "--page")
        server = await Child.start(there, "--server", name, str(page.port))
        try:
            results |= await Measurement(options, server, page).run()
            results["microseconds of a call"] = await server.ask(f"calls {options.calls}")
        finally:
            await server.stop()
            await page.stop()
    return results


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--subscribers", type=int, default=1000)
    parser.add_argument("--broadcasts", type=float, default=20.0, help="how many a second")
    parser.add_argument("--rate", type=float, default=2000.0, help="web hooks a second")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--secs", type=float, default=5.0, help="how long each half of a round takes")
    parser.add_argument("--calls", type=int, default=5000, help="calls of each HTTP client that are measured")
    parser.add_argument("--smoke", action="store_true", help="see in a few seconds whether it works")
    parser.add_argument("--directory", type=Path, help="where the database is made")
    parser.add_argument("--page", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--server", nargs=2, metavar=("FOLDER", "PORT"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.smoke:
        options.subscribers, options.rate, options.rounds, options.secs, options.calls = 50, 200.0, 1, 1.0, 200
    machine.raise_descriptor_limit()
    if options.page:
        asyncio.run(be_a_page())
        return 0
    if options.server:
        configure_logging("error", "console")
        run(be_a_server(Path(options.server[0]), int(options.server[1])))
        return 0
    results = asyncio.run(measure_all(options))  # the clients of the harness are not for uvloop
    print(json.dumps(results, indent=2))
    return int(results["hooks owed"] != results["hooks received"] or results["deliveries lost"] > 0)


def run(main: Coroutine[Any, Any, Any]) -> Any:
    """On the loop that the server has."""
    factory: Callable[[], asyncio.AbstractEventLoop] = asyncio.new_event_loop
    with suppress(ImportError):
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        return runner.run(main)


if __name__ == "__main__":
    sys.exit(main())
