"""Templates of paths, with ``:name`` in the place of a parameter."""

from __future__ import annotations

import re


def pattern_of(path: str) -> str:
    """A regular expression with one named group for each parameter of the template ``path``."""
    segments = (
        f"(?P<{segment[1:]}>[^/]+)" if segment.startswith(":") else re.escape(segment) for segment in path.split("/")
    )
    return "/".join(segments)


def fixed_paths_first(path: str) -> list[tuple[bool, str]]:
    """The key of an order in which a fixed path comes before the template that it would match."""
    return [(segment.startswith(":"), segment) for segment in path.split("/")]
