"""A page in headless Chromium, where one is installed: the client that cannot choose its own origin."""

from __future__ import annotations

import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.raw_client import RawClient
from tests.server_process import ServerProcess

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PATIENCE_SECONDS = 60.0

PAGE = """<!doctype html><meta charset="utf-8"><title>Users Socket API</title><script>
function report(what) { return fetch('/report', {method: 'POST', body: JSON.stringify(what)}); }
const socket = new WebSocket(URL_OF_THE_SERVER);
socket.onopen = () => socket.send(JSON.stringify({eventType: 10, message: 'from a page ñ 👋', broadcast: true}));
socket.onmessage = (message) => report({message: JSON.parse(message.data)});
socket.onclose = (event) => report({close: event.code, reason: event.reason});
</script>"""


class Site:
    """A web server with that one page; what the page reports comes out of :meth:`read`."""

    def __init__(self, url: str) -> None:
        reports: queue.Queue[dict[str, Any]] = queue.Queue()
        page = PAGE.replace("URL_OF_THE_SERVER", json.dumps(url)).encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(page)

            def do_POST(self) -> None:
                reports.put(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
                self._answer(b"")

            def _answer(self, body: bytes) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html")
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        self._reports = reports
        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def read(self) -> dict[str, Any]:
        try:
            return self._reports.get(timeout=PATIENCE_SECONDS)
        except queue.Empty:
            raise AssertionError("the page reported nothing") from None

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def visit(any_server: ServerProcess, tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    """Opens the page under a host name; the browser makes an origin of that."""
    browser = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if browser is None:
        pytest.skip("no Chromium is installed")
    site = Site(f"{any_server.websocket_scheme}://localhost:{any_server.websocket_port}/")
    processes = []

    def open_page(host: str) -> Site:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--ignore-certificate-errors", f"--user-data-dir={tmp_path / 'profile'}"]
        url = f"http://{host}:{site.port}/"
        command = [browser, *flags, url]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return site

    yield open_page
    for process in processes:
        process.terminate()
        process.wait(PATIENCE_SECONDS)
    site.close()


def test_a_page_of_an_approved_origin(visit: Callable[[str], Site], connect: Callable[..., RawClient]) -> None:
    witness = connect()
    page = visit("localhost")
    event = {"eventType": 10, "message": "from a page ñ 👋"}
    assert page.read() == {"message": event}
    assert witness.read_event() == event
    witness.send_event(eventType=10, message="to a page", broadcast=True)
    assert page.read() == {"message": {"eventType": 10, "message": "to a page"}}


def test_a_page_of_another_origin(visit: Callable[[str], Site], connect: Callable[..., RawClient]) -> None:
    witness = connect()
    refusal = visit("127.0.0.1").read()
    assert refusal["close"] == 1008
    assert "origin" in refusal["reason"]
    assert witness.events_until_echo("nobody else spoke") == []
