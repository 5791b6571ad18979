"""What a watcher of a channel has been told, across its reconnects."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from tests.raw_client import Gone, RawClient, Silence


def since(position: dict[str, Any] | None) -> str | None:
    """A position as the query of a watcher has it."""
    return None if position is None else f"{position['epoch']}:{position['offset']}"


class Ledger:
    """
    The messages of one watcher, collected by a thread.

    ``entries`` has publications as ``(position, data)``; ``lost_at`` the indices of ``entries`` before which the client
    was told that something is missing.
    """

    def __init__(self, client: RawClient) -> None:
        self.entries: list[tuple[dict[str, Any] | None, Any]] = []
        self.lost_at: list[int] = []
        self.position: str | None = None
        self._changed = threading.Condition()
        self.follow(client)

    def follow(self, client: RawClient) -> None:
        """Go on with a new connection, whose first message was not read yet."""
        self._client = client
        first = client.read_event()
        assert first["type"] == "subscribed", first
        if first["recovered"] is False:
            self.lost_at.append(len(self.entries))
        if first["recovered"] is not True:
            self.position = since(first["position"])
        self.first = first
        self._thread = threading.Thread(target=self._collect, args=(client,), daemon=True)
        self._thread.start()

    def _collect(self, client: RawClient) -> None:
        while True:
            try:
                message = client.read_event()
            except Silence:
                continue
            except (Gone, OSError, ValueError):
                return
            with self._changed:
                if message["type"] == "publication":
                    position = message["position"]
                    self.entries.append((position, message["data"]))
                    self.position = since(position)
                elif message["type"] == "gap":
                    self.lost_at.append(len(self.entries))
                    self.position = since(message["position"])
                self._changed.notify_all()

    def leave(self) -> None:
        """Drop the connection, as a network does, and return when nothing more can come."""
        self._client.end_input()
        self._client.close()
        self._thread.join(15)
        assert not self._thread.is_alive()

    @property
    def data(self) -> list[Any]:
        with self._changed:
            return [data for _, data in self.entries]

    def wait_for(self, condition: Callable[[list[Any]], bool], *, seconds: float = 20.0) -> None:
        """Until ``condition`` holds for the data that has come."""
        deadline = time.monotonic() + seconds
        with self._changed:
            while not condition([data for _, data in self.entries]):
                left = deadline - time.monotonic()
                assert left > 0, f"only these came, lost at {self.lost_at}: {self.entries[-20:]}"
                self._changed.wait(left)

    def check(self) -> None:
        """
        Offsets grow by one, but where the client was told that something is missing; each epoch begins at 1.

        Whether something is missing between two epochs can only be seen by what was published.
        """
        with self._changed:
            positions = [position or {} for position, _ in self.entries]
            for index in range(1, len(positions)):
                before, after = positions[index - 1], positions[index]
                expected = before["offset"] + 1 if before["epoch"] == after["epoch"] else 1
                if index not in self.lost_at:
                    assert after["offset"] == expected, f"{before} is followed by {after}, and nobody said so"
