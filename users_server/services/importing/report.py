"""What an import has done: numbers for each collection, and a line for each record that was not taken as it is."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from users_server.core.messages import JSON


class Skipped(Exception):
    """A record is not imported. ``is_conflict``: the target has something else in its place."""

    def __init__(self, reason: str, *, is_conflict: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_conflict = is_conflict


@dataclass
class CollectionReport:
    """
    Of one collection.

    Attributes:
        after: The id of the last record that is done.
        is_strange_done: Whether the records without a proper id are counted.
        present: How many were in the target already, from an import before.
        skipped, conflicts, changed: Reason to how many.
    """

    after: str = ""
    is_strange_done: bool = False
    read: int = 0
    imported: int = 0
    present: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    conflicts: dict[str, int] = field(default_factory=dict)
    changed: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, JSON]:
        return {
            "after": self.after,
            "is_strange_done": self.is_strange_done,
            "read": self.read,
            "imported": self.imported,
            "present": self.present,
            "skipped": dict(self.skipped),
            "conflicts": dict(self.conflicts),
            "changed": dict(self.changed),
        }


Write = Callable[[Mapping[str, JSON]], None]
"""Takes one line of the detailed report."""


class ImportReport:
    """
    All collections. :meth:`state` is what the checkpoint keeps, so that a report counts what earlier runs did, too.

    Args:
        write: Is given each record that was skipped, is in conflict or was changed, when that happens.
    """

    def __init__(self, state: Mapping[str, Any] | None = None, write: Write = lambda _line: None) -> None:
        self.collections = {name: CollectionReport(**value) for name, value in (state or {}).items()}
        self._write = write

    def __getitem__(self, collection: str) -> CollectionReport:
        return self.collections.setdefault(collection, CollectionReport())

    def state(self) -> dict[str, JSON]:
        return {name: report.to_json() for name, report in self.collections.items()}

    def skip(self, collection: str, record_id: str, name: str, error: Skipped) -> None:
        """A record was not imported."""
        report = self[collection]
        reasons = report.conflicts if error.is_conflict else report.skipped
        reasons[error.reason] = reasons.get(error.reason, 0) + 1
        kind = "conflict" if error.is_conflict else "skipped"
        self._write({"collection": collection, "id": record_id, "name": name, "what": kind, "reason": error.reason})

    def change(self, collection: str, record_id: str, name: str, reason: str) -> None:
        """A record was imported, but not all of it."""
        report = self[collection]
        report.changed[reason] = report.changed.get(reason, 0) + 1
        self._write({"collection": collection, "id": record_id, "name": name, "what": "changed", "reason": reason})
