"""A page in headless Chromium, where one is installed."""

from __future__ import annotations

import http.server
import json
import queue
import shutil
import subprocess
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.missing import missing

PROGRAMS = ("chromium", "chromium-browser", "google-chrome-stable", "google-chrome", "chrome")
PATIENCE_SECONDS = 60.0


Content = Callable[[], bytes]


class Site:
    """
    A web server with one page; what the page posts to ``/report`` comes out of :meth:`read`.

    ``files`` are what it has beside the page, by path: each is made when it is asked for.
    """

    def __init__(self, html: str, files: Mapping[str, Content]) -> None:
        reports: queue.Queue[dict[str, Any]] = queue.Queue()
        page = html.encode()

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self._answer(files[self.path]() if self.path in files else page)

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


@contextmanager
def browsing(html: str, profile: Path, files: Mapping[str, Content] | None = None) -> Iterator[Callable[[str], Site]]:
    """Opens a page of ``html`` under a host name; the browser makes an origin of that. Skips where there is none."""
    browser = next(filter(None, map(shutil.which, PROGRAMS)), None)
    if browser is None:
        missing("no Chromium is installed")
    site = Site(html, files or {})
    processes = []

    def open_page(host: str) -> Site:
        flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
        flags += ["--ignore-certificate-errors", f"--user-data-dir={profile}"]
        command = [browser, *flags, f"http://{host}:{site.port}/"]
        processes.append(subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
        return site

    try:
        yield open_page
    finally:
        for process in processes:
            process.terminate()
            process.wait(PATIENCE_SECONDS)
        site.close()
