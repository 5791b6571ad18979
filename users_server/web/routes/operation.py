"""For whoever operates the server. Rows of the route table."""

from __future__ import annotations

from users_server.schemas.busiest import BusiestAnswer
from users_server.schemas.operation import ReadyAnswer
from users_server.schemas.queries import BusiestQuery
from users_server.web.rest import busiest, operation
from users_server.web.route import Route, Who

OPERATION = (
    Route(
        "GET",
        "/healthz",
        operation.health,
        Who.ALL,
        summary="Tell that the process is alive",
        message="The server is alive",
        tag="operation",
        is_operation=True,
    ),
    Route(
        "GET",
        "/readyz",
        operation.ready,
        Who.ALL,
        summary="Tell whether all that the server needs is there; 503 if not",
        message="The server is ready",
        tag="operation",
        answer=ReadyAnswer,
        is_operation=True,
    ),
    Route(
        "GET",
        "/metrics",
        operation.metrics,
        Who.ALL,
        summary="Metrics for Prometheus",
        message="",
        tag="operation",
        answer=None,
        content_type="text/plain",
        is_operation=True,
    ),
    Route(
        "GET",
        "/busiest",
        busiest.list_busiest,
        Who.OPERATOR,
        summary="Tell what the server has done, and which of its connections and channels are the busiest",
        message="There are {count} connections",
        tag="operation",
        query=BusiestQuery,
        answer=BusiestAnswer,
    ),
)
