"""The broker of a single node: no network, no copy."""

from users_server.backends.memory.broker import MemoryBroker

__all__ = ["MemoryBroker"]
