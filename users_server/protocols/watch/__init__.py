"""Watching: what is published in an app, for operators and internal services."""

from __future__ import annotations

from collections.abc import Sequence

from users_server.protocols.base import BuiltProtocol, Foundation, Mount, MountPoint, ProtocolFolder
from users_server.protocols.watch.messages import MESSAGE_TABLE
from users_server.protocols.watch.protocol import WatchProtocol
from users_server.protocols.watch.settings import WatchSection, WatchSettings

__all__ = ["PROTOCOL"]


def mount_points(settings: WatchSettings) -> Sequence[MountPoint]:
    """Its path; none if it is off."""
    return [MountPoint(settings.path)] if settings.is_enabled else []


def build(settings: WatchSettings, foundation: Foundation) -> BuiltProtocol | None:
    """The protocol at its path; :obj:`None` if it is off."""
    if not settings.is_enabled:
        return None
    protocol = WatchProtocol(foundation.node, foundation.apps, foundation.identities, foundation.approves_origin)
    return BuiltProtocol([Mount(point.path, protocol, point.port) for point in mount_points(settings)])


PROTOCOL = ProtocolFolder(
    "watch",
    WatchSection,
    "Watching what is published in an app, for operators and internal services",
    build,
    mount_points,
    MESSAGE_TABLE,
)
