"""
The description of the HTTP API that the server gives its clients: as OpenAPI, and as a page for people.

``openapi.json`` here is the same file as ``definitions/openapi.json``, and ``users-server definitions`` writes both. It
is shipped, not made by the running server, so that a server needs neither the generator nor its libraries.
"""

from users_server.web.documents.description import ApiDocuments

__all__ = ["ApiDocuments"]
