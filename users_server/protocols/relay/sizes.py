"""How large the data of one message may be."""

from __future__ import annotations

from users_server.core.apps import App
from users_server.core.messages import JSON
from users_server.core.node import Node
from users_server.errors import PayloadTooLarge
from users_server.schemas.json_text import encode


def data_limit(app: App, node: Node) -> int:
    """In bytes of JSON: the app's own limit, or the one of all channels; 0 for none."""
    return app.limits.message_bytes or node.limits.data_bytes


def check_size(data: JSON, limit: int, *, at_most: int | None = None) -> None:
    """
    Raises :class:`PayloadTooLarge` if ``data`` has more than ``limit`` bytes as JSON.

    ``at_most`` is a size that it cannot be over; where that is within the limit, nothing is counted.
    """
    if limit and (at_most is None or at_most > limit) and len(encode(data)) > limit:
        raise PayloadTooLarge(f"The data has more than {limit} bytes")
