"""The ends of a link that tests of protocols work without: what stands in for a transport and for its frames."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any


class JSONLines:
    """A framing that a test can read."""

    def text(self, payload: bytes) -> bytes:
        return payload + b"\n"

    def binary(self, payload: bytes) -> bytes:
        return payload + b"\n"


@dataclass(eq=False, kw_only=True)
class ScriptedLink:
    """A transport that remembers how it was closed. Its owner sets ``receiver`` and has ``write``."""

    closed: tuple[int, str] | None = None

    def __post_init__(self) -> None:
        self.receiver: Any = None

    def close(self, code: int, reason: str) -> None:
        if self.closed is None:
            self.closed = (code, reason)
            self.receiver.lost()

    def abort(self) -> None:
        self.close(1006, "")

    def go(self) -> None:
        """The client goes by itself."""
        self.close(1000, "")

    @property
    def queued_bytes(self) -> int:
        return 0
