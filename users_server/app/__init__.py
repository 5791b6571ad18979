"""
The composition root: from a configuration to a server, and the only place that names a concrete backend.

config → backends → node → services → protocols and routes → listeners; :class:`Server` starts them in this order and
stops them in the other.
"""

from users_server.app.backends import open_store
from users_server.app.commands import open_services
from users_server.app.server import Server, check_ports
from users_server.app.services import Services

__all__ = ["Server", "Services", "check_ports", "open_services", "open_store"]
