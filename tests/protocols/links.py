"""What stands in for a transport, its frames and the time where tests of protocols work without them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

NOW_MS = 1_700_000_000_000


class HeldClock:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def now_ms(self) -> int:
        return NOW_MS + round(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds


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
