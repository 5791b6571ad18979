"""A port of its own for the state of one process, where several share the other ports."""

from __future__ import annotations

from tornado.httpserver import HTTPServer
from tornado.web import Application

from users_server.web.server import bind

MAX_BODY_BYTES = 1024
IDLE_TIMEOUT_SECONDS = 60.0


class StatusServer:
    """
    Plain HTTP on ``port``.

    :meth:`start` raises :class:`StartupError` if the port is taken.
    """

    def __init__(self, host: str, port: int, application: Application) -> None:
        self._host = host
        self._port = port
        self._server = HTTPServer(
            application, max_body_size=MAX_BODY_BYTES, idle_connection_timeout=IDLE_TIMEOUT_SECONDS
        )

    def start(self) -> None:
        self._server.add_sockets(bind(self._host, self._port, "workers.statusPort"))

    async def stop(self) -> None:
        """Accept no more, and drop every connection. Idempotent."""
        self._server.stop()
        await self._server.close_all_connections()
