"""
The JeuWeb Push Server: Phoenix channels for browsers, HTTP push and web hooks for the application.

Start reading at ``events.py``. docs/jwp.md is its guide.
"""

from __future__ import annotations

from collections.abc import Sequence

from users_server.protocols.base import BuiltProtocol, Foundation, Mount, MountPoint, ProtocolFolder
from users_server.protocols.jwp.admission import NAME
from users_server.protocols.jwp.http import HTTP_TABLE, http_service
from users_server.protocols.jwp.messages import MESSAGE_TABLE
from users_server.protocols.jwp.protocol import JWPProtocol
from users_server.protocols.jwp.settings import JWPSection, JWPSettings

__all__ = ["PROTOCOL"]


def mount_points(settings: JWPSettings) -> Sequence[MountPoint]:
    """Its socket's path; the same on a port of its own. None if it is off."""
    if not settings.is_enabled:
        return []
    points = [MountPoint(settings.socket_path)]
    if settings.port:
        points.append(MountPoint(settings.socket_path, settings.port, "port"))
    return points


def build(settings: JWPSettings, foundation: Foundation) -> BuiltProtocol | None:
    """The protocol at its paths; :obj:`None` if it is off."""
    if not settings.is_enabled:
        return None
    protocol = JWPProtocol(settings, foundation)
    mounts = [Mount(point.path, protocol, point.port) for point in mount_points(settings)]
    return BuiltProtocol(mounts, (protocol.idle_watch,), http_service(foundation, settings.port))


PROTOCOL = ProtocolFolder(
    NAME,
    JWPSection,
    "The JeuWeb Push Server: Phoenix channels for browsers",
    build,
    mount_points,
    MESSAGE_TABLE,
    HTTP_TABLE,
)
