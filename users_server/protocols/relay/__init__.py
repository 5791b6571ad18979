"""
The channel relay between a web application and its browsers: JWT, one channel a connection, Redis Pub/Sub.

Start reading at ``events.py``. docs/relay.md is its guide.
"""

from __future__ import annotations

from collections.abc import Sequence

from users_server.core.interfaces import ExternalInput
from users_server.errors import ConfigError
from users_server.protocols.base import BuiltProtocol, Foundation, Mount, MountPoint, ProtocolFolder
from users_server.protocols.relay.admission import NAME
from users_server.protocols.relay.input import RelayInput, Target
from users_server.protocols.relay.kinds import Kinds
from users_server.protocols.relay.messages import MESSAGE_TABLE
from users_server.protocols.relay.protocol import RelayProtocol
from users_server.protocols.relay.settings import RelaySection, RelaySettings

__all__ = ["PROTOCOL"]


def mount_points(settings: RelaySettings) -> Sequence[MountPoint]:
    """Its path and, for every other app, the one below it; the same on a port of its own. None if it is off."""
    if not settings.is_enabled:
        return []
    points = [MountPoint(settings.path), MountPoint(f"{settings.path.rstrip('/')}/:app")]
    if settings.port:
        points += [MountPoint(path, settings.port, "port") for path in ("/", "/:app")]
    return points


def build(settings: RelaySettings, foundation: Foundation) -> BuiltProtocol | None:
    """The protocol at its paths, and its input from Redis; :obj:`None` if it is off."""
    if not settings.is_enabled:
        return None
    kinds = Kinds(settings.rules())
    protocol = RelayProtocol(settings, kinds, foundation)
    mounts = [Mount(point.path, protocol, point.port) for point in mount_points(settings)]
    source = _source(settings, foundation)
    target = Target(foundation.node, foundation.apps, foundation.clock)
    parts = () if source is None else (RelayInput(settings, kinds, source, target),)
    return BuiltProtocol(mounts, parts)


def _source(settings: RelaySettings, foundation: Foundation) -> ExternalInput | None:
    """The Redis of the configuration, or the broker's; :obj:`None` where there is none and nobody asked for one."""
    try:
        return foundation.open_input(settings.redis_url)
    except ConfigError:
        if settings.redis_url or settings.redis_prefix:
            raise
        return None


PROTOCOL = ProtocolFolder(
    NAME,
    RelaySection,
    "A relay between a web application and its browsers: one channel a connection",
    build,
    mount_points,
    MESSAGE_TABLE,
)
