"""The ports that a configuration listens on, whatever part of the server wants them, and what is wrong among them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass

from users_server.config.protocols import PROTOCOLS
from users_server.config.settings import Config, WorkerSettings
from users_server.errors import ConfigError

LAST_PORT = 65_535
STATUS_PORT = "workers.statusPort"
_SHARED = {"http.port", "websocket.port"}
"""The two APIs may have one port together."""


@dataclass(frozen=True, slots=True)
class ListeningPorts:
    """Ports in a row. ``setting`` is the path of the setting that they come from."""

    setting: str
    first: int
    count: int = 1

    @property
    def last(self) -> int:
        return self.first + self.count - 1

    def collides_with(self, other: ListeningPorts) -> bool:
        if {self.setting, other.setting} == _SHARED:
            return False
        return self.first <= other.last and other.first <= self.last


def worker_count(settings: WorkerSettings) -> int:
    """How many processes serve on this machine."""
    return settings.count or len(os.sched_getaffinity(0))


def listening_ports(config: Config) -> list[ListeningPorts]:
    """Each setting once, in the order of the file; none for a port that is any free one, or that is not wanted."""
    wanted = {"http.port": config.http.port, "websocket.port": config.websocket.port}
    for folder in PROTOCOLS:
        for point in folder.mount_points(config.protocols[folder.name]):
            if point.port:
                wanted[f"protocols.{folder.name}.{point.port_setting}"] = point.port
    found = [ListeningPorts(setting, port) for setting, port in wanted.items() if port]
    if config.workers.status_port:
        found.append(ListeningPorts(STATUS_PORT, config.workers.status_port, worker_count(config.workers)))
    return found


def check_ports(config: Config) -> Iterator[ConfigError]:
    """Ports that two want, and ports that there are not; told at the later setting."""
    former: list[ListeningPorts] = []
    for ports in listening_ports(config):
        if ports.last > LAST_PORT:
            expected = f"expected at most {LAST_PORT + 1 - ports.count}, so that each worker has a port"
            yield ConfigError(ports.setting, expected, str(ports.first), hint="Lower it, or workers.count")
        elif taken := [other.setting for other in former if ports.collides_with(other)]:
            hint = "Choose another port, or 0 for none"
            yield ConfigError(ports.setting, f"expected {_own(ports, taken)}", str(ports.first), hint=hint)
        former.append(ports)


def _own(ports: ListeningPorts, taken: list[str]) -> str:
    others = " and ".join(taken)
    if ports.count == 1:
        return f"a port of its own, other than {others}"
    return f"ports of its own, {ports.first} to {ports.last} without {others}"
