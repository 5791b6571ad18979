"""Ways out for mail: what they promise, and the two that need no server."""

from __future__ import annotations

import asyncio
import os
import secrets
from email.message import EmailMessage
from pathlib import Path
from typing import Protocol, TextIO

_LINE = "-" * 78


class DeliveryFailed(Exception):
    """A mail was not taken. With ``is_permanent`` it never will be, so nobody should try again."""

    def __init__(self, reason: str, *, is_permanent: bool = False) -> None:
        super().__init__(reason)
        self.reason = reason
        self.is_permanent = is_permanent


class MailTransport(Protocol):
    """Hands one message at a time over; several calls may be under way at once."""

    async def deliver(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        """
        Return when the message is somebody else's responsibility.

        Raises:
            DeliveryFailed: Then nobody has it, as far as can be known.
        """


class ConsoleTransport:
    """Prints the plain text, for development: links can be followed from the terminal."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    async def deliver(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        body = message.get_body(("plain",))
        text = body.get_content() if body is not None else ""
        lines = [_LINE, f"Mail to {recipient}: {message['Subject']}", "", *text.splitlines(), _LINE]
        self._stream.write("\n".join(_printable(line) for line in lines) + "\n")
        self._stream.flush()


class FileTransport:
    """Writes each message to a file ``*.eml`` of its own in ``folder``; a file with that ending is complete."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def deliver(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        try:
            await asyncio.to_thread(self._write, bytes(message))
        except OSError as error:
            raise DeliveryFailed(f"{self._folder}: {error.strerror}") from error

    def _write(self, content: bytes) -> None:
        self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        name = secrets.token_hex(12)
        unfinished = self._folder / f"{name}.part"
        try:
            with os.fdopen(os.open(unfinished, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
                file.write(content)
            unfinished.rename(self._folder / f"{name}.eml")
        except OSError:
            unfinished.unlink(missing_ok=True)
            raise


def _printable(line: str) -> str:
    """Without what a terminal would obey."""
    return "".join(letter if letter.isprintable() else "?" for letter in line)
