"""The description of this API. Rows of the route table."""

from __future__ import annotations

from users_server.web.rest import documents
from users_server.web.route import Route, Who

DOCUMENTS = (
    Route(
        "GET",
        "/openapi.json",
        documents.get_openapi,
        Who.ALL,
        summary="Get this description, as OpenAPI 3.1",
        message="",
        tag="documents",
        answer=None,
        is_anonymous=True,
    ),
    Route(
        "GET",
        "/docs",
        documents.get_docs,
        Who.ALL,
        summary="Get this description, as a page for people",
        message="",
        tag="documents",
        answer=None,
        content_type="text/html",
        is_anonymous=True,
    ),
)
