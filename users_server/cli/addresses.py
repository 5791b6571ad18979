"""The URLs under which this machine reaches the server."""

from __future__ import annotations

from users_server.config import Config

_ALL_ADDRESSES = ("", "0.0.0.0", "::", "localhost")  # noqa: S104 (compared with, never listened on)


def _host(config: Config) -> str:
    if config.host in _ALL_ADDRESSES:
        return "localhost"
    return f"[{config.host}]" if ":" in config.host else config.host


def http_url(config: Config, port: int | None = None) -> str:
    """Where the HTTP API begins, without a slash at its end; ``port`` is the real one where it is known."""
    scheme = "https" if config.tls.is_enabled else "http"
    return f"{scheme}://{_host(config)}:{port or config.http.port}{config.http.api_prefix}"


def websocket_url(config: Config, port: int | None = None, *, path: str | None = None) -> str:
    """The Users Socket API, or another ``path`` on the port of the WebSocket API."""
    scheme = "wss" if config.tls.is_enabled else "ws"
    return (
        f"{scheme}://{_host(config)}:{port or config.websocket.port}{config.websocket.path if path is None else path}"
    )
