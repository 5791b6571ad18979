"""
Regular expressions that mean the same to Python and to JavaScript.

A schema's pattern is checked by both, so it must stay within what both have, written in ASCII: explicit classes, no
``\\w`` or ``\\d``, which are Unicode in one and ASCII in the other, and no group syntax that only one knows.
"""

from __future__ import annotations

import re

_ANCHORS = {"A": "^", "Z": "$"}
# Every other escape is either an error under JavaScript's flag "u" or means something else there.
_ESCAPE = re.compile(r"\\(x[0-9A-Fa-f]{2}|u[0-9A-Fa-f]{4}|.)", re.DOTALL)
_KNOWN_ESCAPES = frozenset(r"^$\.*+?()[]{}|/nrt")
_FOREIGN = re.compile(r"\(\?(?![:=!])|[*+?}]\+")


def portable(pattern: str) -> str:
    r"""
    ``pattern`` with ``\A`` and ``\Z`` as ``^`` and ``$``.

    Raises:
        ValueError: If JavaScript would read it in another way, or if it is not anchored: marshmallow looks at the
            start of a text only, JSON Schema everywhere.
    """
    written = _ESCAPE.sub(lambda escape: _ANCHORS.get(escape[1], escape[0]), pattern)
    escapes = _ESCAPE.findall(written)
    problem = None
    if not written.isascii():
        problem = "it is not ASCII"
    elif unknown := [escape for escape in escapes if len(escape) == 1 and escape not in _KNOWN_ESCAPES]:
        problem = f"\\{unknown[0]} differs in JavaScript"
    elif _FOREIGN.search(_ESCAPE.sub("", written)):
        problem = "a part of it is Python's own"
    elif not written.startswith("^"):
        problem = "it is not anchored at the start"
    if problem is not None:
        raise ValueError(f"The pattern {pattern!r} cannot be published: {problem}")
    return written
