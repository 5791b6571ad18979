"""Which protocol is spoken at which path of one port."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from urllib.parse import unquote_to_bytes

from users_server.errors import StartupError
from users_server.protocols.base import Mount, WireProtocol

NO_PARAMETERS: Mapping[str, str] = MappingProxyType({})


class PathTable:
    """
    The paths of ``mounts``; their ports do not matter here.

    A path is found by at most two look-ups, however many there are: as it stands, and with its last segment for a
    ``:name``. A path that stands in the table as it is goes first.

    Raises:
        StartupError: If two protocols want one path.
    """

    def __init__(self, mounts: Iterable[Mount] = ()) -> None:
        self._exact: dict[str, WireProtocol] = {}
        self._open_ended: dict[str, tuple[str, WireProtocol]] = {}
        for mount in mounts:
            head, _, last = mount.path.rpartition("/")
            former: WireProtocol | None
            if last.startswith(":"):
                former = self._open_ended.get(head, (last, None))[1]
                self._open_ended[head] = (last[1:], mount.protocol)
            else:
                former = self._exact.get(mount.path)
                self._exact[mount.path] = mount.protocol
            if former is not None:
                raise StartupError(
                    f"{former.name} and {mount.protocol.name} are both to be served at the path {mount.path} of one "
                    "port. Give one of them another path in the configuration"
                )

    def find(self, path: str) -> tuple[WireProtocol, Mapping[str, str]] | None:
        """Who is served at ``path``, and what stands for ``:name``, percent-decoded; :obj:`None`: nobody."""
        protocol = self._exact.get(path)
        if protocol is not None:
            return protocol, NO_PARAMETERS
        if not self._open_ended:
            return None
        head, _, last = path.rpartition("/")
        found = self._open_ended.get(head)
        value = _decoded(last)
        return None if found is None or not value else (found[1], {found[0]: value})


def _decoded(segment: str) -> str:
    """Empty for what is not UTF-8."""
    try:
        return unquote_to_bytes(segment.encode("latin-1")).decode()
    except UnicodeError:
        return ""
