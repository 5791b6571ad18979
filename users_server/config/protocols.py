"""The folders of ``protocols/`` that this server speaks: the only place that names one."""

from __future__ import annotations

from users_server.protocols.base import ProtocolFolder
from users_server.protocols.jwp import PROTOCOL as JWP
from users_server.protocols.relay import PROTOCOL as RELAY
from users_server.protocols.watch import PROTOCOL as WATCH

PROTOCOLS: tuple[ProtocolFolder, ...] = (RELAY, WATCH, JWP)
"""Each has its section ``protocols.<name>``. The Users Socket API is no folder among them: it is always spoken."""
