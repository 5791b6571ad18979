"""The bus of a single node: no network, no copy."""

from users_server.backends.memory.broker import MemoryBroker
from users_server.backends.memory.history import MemoryHistory
from users_server.backends.memory.presence import MemoryPresence

__all__ = ["MemoryBroker", "MemoryHistory", "MemoryPresence"]
