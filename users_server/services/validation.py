"""
What a name, an email address and a logged name may look like.

Rule: plain ASCII classes and one pass over the text, so that no input is slow and clients can check the same.
"""

from __future__ import annotations

import re

MAX_NAME_LENGTH = 254
"""The longest address that SMTP can carry (RFC 5321); usernames share the bound."""

MAX_LOCAL_LENGTH = 64
MAX_LABEL_LENGTH = 63
MAX_LOGGED_LENGTH = 64

_ALPHANUMERIC = re.compile(r"[0-9A-Za-z]+")
_LOCAL_ATOM = re.compile(r"[0-9A-Za-z!#$%&'*+/=?^_`{|}~-]+")
_LABEL = re.compile(r"[0-9A-Za-z-]+")
_UNPRINTABLE = re.compile(r"[^ -~]")


def is_username(text: str) -> bool:
    """Whether ``text`` is made of letters and digits only, and neither empty nor too long."""
    return len(text) <= MAX_NAME_LENGTH and _ALPHANUMERIC.fullmatch(text) is not None


def is_email(text: str) -> bool:
    """
    Whether ``text`` has the form of an address that people have: dot-separated atoms, ``@``, two labels or more.

    Quoted local parts, address literals and letters beyond ASCII are refused.
    """
    if len(text) > MAX_NAME_LENGTH:
        return False
    local, at, domain = text.rpartition("@")
    labels = domain.split(".")
    return (
        at == "@"
        and len(local) <= MAX_LOCAL_LENGTH
        and all(_LOCAL_ATOM.fullmatch(atom) for atom in local.split("."))
        and len(labels) >= 2
        and all(_is_label(label) for label in labels)
    )


def _is_label(label: str) -> bool:
    return (
        len(label) <= MAX_LABEL_LENGTH
        and _LABEL.fullmatch(label) is not None
        and not label.startswith("-")
        and not label.endswith("-")
    )


def loggable(text: str, max_length: int = MAX_LOGGED_LENGTH) -> str:
    """``text`` as it may stand in a log line: one line, printable, of bounded length."""
    return _UNPRINTABLE.sub("?", text[:max_length])
