"""A page in headless Chromium, where one is installed: the client that cannot choose its own origin."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.raw_client import RawClient
from tests.server_process import ServerProcess
from tests.wire.browser import Site, browsing

PAGE = """<!doctype html><meta charset="utf-8"><title>Users Socket API</title><script>
function report(what) { return fetch('/report', {method: 'POST', body: JSON.stringify(what)}); }
const socket = new WebSocket(URL_OF_THE_SERVER);
socket.onopen = () => socket.send(JSON.stringify({eventType: 10, message: 'from a page ñ 👋', broadcast: true}));
socket.onmessage = (message) => report({message: JSON.parse(message.data)});
socket.onclose = (event) => report({close: event.code, reason: event.reason});
</script>"""


@pytest.fixture
def visit(any_server: ServerProcess, tmp_path: Path) -> Iterator[Callable[[str], Site]]:
    """Opens the page under a host name; the browser makes an origin of that."""
    url = f"{any_server.websocket_scheme}://localhost:{any_server.websocket_port}/"
    with browsing(PAGE.replace("URL_OF_THE_SERVER", json.dumps(url)), tmp_path / "profile") as open_page:
        yield open_page


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
