"""What an operator may set for Phoenix clients: config section ``protocols.jwp``."""

from __future__ import annotations

from dataclasses import dataclass

from users_server.schemas.settings import Flag, Number, Section, URLPath, Whole, section


@dataclass(frozen=True, slots=True)
class JWPSettings:
    """
    Config section ``protocols.jwp``.

    Attributes:
        path: What a Phoenix client is given; the socket is at ``<path>/websocket``.
        port: A port of its own, with the socket and the HTTP API; 0 for none.
        idle_timeout_seconds: A client that has said nothing for so long is closed.
        max_meta_bytes: Of what the others are told about a member, as JSON.
    """

    is_enabled: bool = True
    path: str = "/socket"
    port: int = 0
    idle_timeout_seconds: float = 75.0
    max_meta_bytes: int = 4_096

    @property
    def socket_path(self) -> str:
        return f"{self.path.rstrip('/')}/websocket"


@section(JWPSettings)
class JWPSection(Section):
    is_enabled = Flag("Whether it is served. Nobody connects without a token", data_key="enabled")
    path = URLPath(
        'The path that a Phoenix client is given, on the port of the WebSocket API; the client appends "/websocket"'
    )
    port = Whole("A port of its own, for the socket and the HTTP API of this protocol; 0 for none", 0, 65_535)
    idle_timeout_seconds = Number(
        "A client that has sent nothing for so long is closed; Phoenix clients send a heartbeat every 30 seconds",
        86_400,
        minimum=1,
    )
    max_meta_bytes = Whole(
        "Bytes of the meta of a member, as JSON; who has more joins without being listed", 2, 1_048_576
    )
