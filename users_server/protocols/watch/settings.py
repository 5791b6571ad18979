"""What an operator may set for watching."""

from __future__ import annotations

from dataclasses import dataclass

from users_server.schemas.settings import Flag, Section, URLPath, section


@dataclass(frozen=True, slots=True)
class WatchSettings:
    """Config section ``protocols.watch``."""

    is_enabled: bool = True
    path: str = "/watch"


@section(WatchSettings)
class WatchSection(Section):
    is_enabled = Flag("Whether it is served. Nobody watches an app without its API key", data_key="enabled")
    path = URLPath("The path of the socket, on the port of the WebSocket API")
