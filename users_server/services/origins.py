"""Which origins may connect: the operator's patterns, searched in linear time (users-socket-api.md, Connecting)."""

from __future__ import annotations

from collections.abc import Sequence

import re2

from users_server.errors import ConfigError


class InvalidPattern(ConfigError):
    """A pattern that cannot be used. ``path`` is its place in the list, as ``[2]``."""

    reason = "invalid_pattern"

    def __init__(self, index: int, pattern: str, why: str) -> None:
        super().__init__(
            f"[{index}]",
            f"a regular expression that RE2 can run ({why})",
            repr(pattern),
            hint="Look-around and back-references are not supported, since they can hang a server",
        )
        self.index = index
        self.pattern = pattern


MOST_REMEMBERED = 1000
LONGEST_REMEMBERED = 200
"""Answers are remembered, for the few origins that most connections share; a stranger can fill 1,000 places at most."""


class OriginPolicy:
    """
    Approves origins by regular expressions, unanchored as JavaScript's ``String.match``.

    An origin is attacker's input: the time of every check grows with its length only, whatever the patterns are.

    Raises:
        InvalidPattern: For the first pattern that RE2 does not take.
    """

    def __init__(self, patterns: Sequence[str]) -> None:
        self._patterns = [(pattern, _compile(index, pattern)) for index, pattern in enumerate(patterns)]
        self._known: dict[str, bool] = {}

    def approves(self, origin: str | None) -> bool:
        """Whether at least one pattern is found in ``origin``. No origin is never approved."""
        if origin is None:
            return False
        known = self._known.get(origin)
        if known is None:
            known = self.first_match(origin) is not None
            if len(origin) <= LONGEST_REMEMBERED:
                if len(self._known) >= MOST_REMEMBERED:
                    self._known.clear()
                self._known[origin] = known
        return known

    def first_match(self, origin: str) -> str | None:
        """The first pattern that is found in ``origin``, as it was written."""
        try:
            encoded = origin.encode()
        except UnicodeEncodeError:
            return None
        return next((pattern for pattern, compiled in self._patterns if compiled.search(encoded)), None)

    def unanchored(self) -> list[str]:
        """
        The patterns that let something follow what they match, as ``localhost`` lets ``localhost.evil.example``.

        A pattern with alternatives is listed unless every one of them ends in ``$`` or ``\\z``.
        """
        return [pattern for pattern, _ in self._patterns if not _has_end_anchor(pattern)]


def _compile(index: int, pattern: str) -> re2._Regexp:
    options = re2.Options()
    options.log_errors = False
    try:
        return re2.compile(pattern, options)
    except re2.error as error:
        detail = error.args[0] if error.args else ""
        why = detail.decode("utf-8", "replace") if isinstance(detail, bytes) else str(detail)
        raise InvalidPattern(index, pattern, why) from error
    except UnicodeEncodeError as error:
        raise InvalidPattern(index, pattern, "it is not valid Unicode") from error


def _has_end_anchor(pattern: str) -> bool:
    """Whether every alternative of a valid ``pattern`` ends at an anchor; an unusual form counts as open."""
    every_branch = [True]
    at_anchor = False
    position = 0
    while position < len(pattern):
        piece = _piece(pattern, position)
        position += len(piece)
        if piece == "(":
            every_branch.append(True)
            at_anchor = False
        elif piece == ")":
            at_anchor = every_branch.pop() and at_anchor
        elif piece == "|":
            every_branch[-1] = every_branch[-1] and at_anchor
            at_anchor = False
        else:
            at_anchor = piece in ("$", "\\z")
    return every_branch[0] and at_anchor


def _piece(pattern: str, position: int) -> str:
    """What stands at ``position``: a literal span, an escape, a whole character class, or one character."""
    if pattern.startswith("\\Q", position):
        end = pattern.find("\\E", position + 2)
        return pattern[position:] if end < 0 else pattern[position : end + 2]
    if pattern[position] == "\\":
        return pattern[position : position + 2]
    if pattern[position] == "[":
        return pattern[position : _class_end(pattern, position)]
    return pattern[position]


def _class_end(pattern: str, position: int) -> int:
    """The index after the ``]`` that closes the class opened at ``position``; a leading ``]`` is a member of it."""
    index = position + 1
    if pattern.startswith("^", index):
        index += 1
    if pattern.startswith("]", index):
        index += 1
    while index < len(pattern) and pattern[index] != "]":
        if pattern[index] == "\\":
            index += 2
        elif pattern.startswith("[:", index) and ":]" in pattern[index:]:
            index = pattern.index(":]", index) + 2
        else:
            index += 1
    return index + 1
