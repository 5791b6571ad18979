"""
HTTP calls to addresses that strangers choose: the endpoints of web hooks.

``addresses.py`` says where a call may go, ``connection.py`` makes one call after the other on one connection, and
``client.py`` keeps connections.
"""

from users_server.web.endpoints.client import EndpointClient

__all__ = ["EndpointClient"]
