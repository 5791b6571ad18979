"""
Which process of the operating system this is, in a way that a neighbour can look at later.

On Linux it is the boot, the namespace of process ids, the id and the time at which the process started: all four
together name one process for ever. Elsewhere nothing is known, and a process counts as dead by its lease alone.
"""

from __future__ import annotations

import os
from pathlib import Path

_BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_NAMESPACE = Path("/proc/self/ns/pid")
_STATE, _START_TIME = 0, 19
"""Places in ``/proc/PID/stat``, behind the name of the program."""

_ENDED = frozenset("ZX")


def own_process() -> str:
    """The identity of this process; empty where that cannot be told."""
    pid = os.getpid()
    place, fields = _place(), _stat(pid)
    return f"{place}/{pid}/{fields[_START_TIME]}" if place and fields else ""


def is_gone(process: str) -> bool:
    """Whether it has certainly ended: False for one of another machine, of an earlier boot or of another container."""
    place, _, rest = process.partition("/")
    pid_text, _, start_time = rest.partition("/")
    if not place or place != _place() or not pid_text.isdecimal():
        return False
    pid = int(pid_text)
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    except OSError:
        pass  # it is another user's
    fields = _stat(pid)
    # One that ended and that nobody has waited for has a process id, and does nothing any more.
    return fields is not None and (fields[_START_TIME] != start_time or fields[_STATE] in _ENDED)


def _place() -> str:
    """The boot and the namespace that a process id belongs to."""
    try:
        boot = _BOOT_ID.read_text(encoding="ascii").strip()
        return f"{boot}:{_NAMESPACE.stat().st_ino}"
    except (OSError, UnicodeDecodeError):
        return ""


def _stat(pid: int) -> list[str] | None:
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rfind(")") + 1 :].split()  # a program's name may hold anything, parentheses too
    return fields if len(fields) > _START_TIME else None
