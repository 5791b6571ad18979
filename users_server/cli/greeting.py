"""What ``serve`` prints once: what listens where, and how to say hello from three languages."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Sequence

from users_server.cli.addresses import http_url, websocket_url
from users_server.cli.origins import approved_origin, warnings
from users_server.config import Config, mask_url
from users_server.core.messages import DEFAULT_APP

# the snippets stand at the margin, so that they can be pasted: Python does not take an indented program
_NODE = """\
# Say hello from Node
node -e '
const Socket = globalThis.WebSocket ?? require("ws")  // before Node 22: npm install ws
const socket = new Socket("{url}", {{headers: {{origin: "{origin}"}}}})
socket.onmessage = event => {{ console.log(event.data); socket.close() }}
socket.onopen = () => socket.send(JSON.stringify({{eventType: 10, message: "hello"}}))'
"""

_BROWSER = """\
// from a browser: in the console of {page}
socket = new WebSocket("{url}")
socket.onmessage = event => console.log(event.data)
socket.onopen = () => socket.send(JSON.stringify({{eventType: 10, message: "hello"}}))
"""

_PYTHON = """\
# from Python
{python} -c '
import asyncio, json
from tornado.httpclient import HTTPRequest
from tornado.websocket import websocket_connect

async def hello():
    socket = await websocket_connect(HTTPRequest("{url}", headers={{"Origin": "{origin}"}}))
    await socket.write_message(json.dumps({{"eventType": 10, "message": "hello"}}))
    print(await socket.read_message())

asyncio.run(hello())'
"""


def greeting(
    config: Config,
    http_port: int,
    websocket_port: int,
    admin_password: str | None,
    *,
    app_credentials: Sequence[str] | None = None,
) -> str:
    """
    The text for a server that has started.

    Args:
        admin_password: The super admin's password if it was made at this start; it is shown nowhere else.
        app_credentials: Key, secret and API key of the default app, if it was made at this start; the last two are
            shown nowhere else.
    """
    lines = [
        "users-server is ready",
        f"  HTTP API    {http_url(config, http_port)}",
        f"  WebSocket   {websocket_url(config, websocket_port)}",
        f"  Database    {mask_url(config.database.url)}",
    ]
    if admin_password is not None:
        lines.append(f"  Admin       {config.admin_user.username}, password {admin_password}")
        lines.append("              (made now and shown only this once; users-server user passwd sets another)")
    if app_credentials is not None:
        key, secret, api_key = app_credentials
        lines.append(f"  App         {DEFAULT_APP}, key {key}")
        lines.append(f"              secret {secret}, API key {api_key}")
        lines.append("              (made now and shown only this once; users-server app rotate makes others)")
    warned = [f"Warning: {line}" for line in warnings(config)]
    return "\n".join([*lines, "", *_hello(config, http_port, websocket_port), *warned, "Ctrl-C stops the server."])


def _hello(config: Config, http_port: int, websocket_port: int) -> list[str]:
    url, origin = websocket_url(config, websocket_port), approved_origin(config)
    shown = origin or "http://localhost"
    page = f"{http_url(config, http_port)}/healthz" if origin else "an approved page"
    snippets = (
        _NODE.format(url=url, origin=shown),
        _BROWSER.format(url=url, page=page),
        _PYTHON.format(url=url, origin=shown, python=shlex.quote(sys.executable)),
    )
    note = "The Origin in them must be one that websocket.approvedSocketDomains approves.\n"
    return list(snippets) if origin else [*snippets, note]
