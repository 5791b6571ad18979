"""The contents of files, which the original kept outside of its database: a folder with a copy of them."""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import AsyncIterator
from pathlib import Path

from users_server.services.importing.report import Skipped

CHUNK_BYTES = 262_144
_SAFE_PART = re.compile(r"[0-9A-Za-z_-][0-9A-Za-z_.-]{0,254}")

NO_FOLDER = "its content is not in the database; --files names a copy"
NO_CONTENT = "its content is not in the folder of --files"
OTHER_SIZE = "its content in the folder of --files has another size"


class ContentFolder:
    """
    ``FOLDER/BUCKET/FILE``, by the identifiers of both. :obj:`None` for no folder: then every file is skipped.

    What a record says is never more than the name of a file in a folder of this folder.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    @property
    def is_there(self) -> bool:
        """Whether there is a folder."""
        return self._folder is not None

    async def find(self, bucket: str, file: str, size: int) -> Content:
        """
        The content of a file, which must have ``size``.

        Raises:
            Skipped: If there is none like that.
        """
        if self._folder is None:
            raise Skipped(NO_FOLDER)
        if not (_SAFE_PART.fullmatch(bucket) and _SAFE_PART.fullmatch(file)):
            raise Skipped("its identifier, or that of its bucket, cannot be the name of a file")
        path = self._folder / bucket / file
        found = await asyncio.to_thread(_size_of, path)
        if found is None:
            raise Skipped(NO_CONTENT)
        if found != size:
            raise Skipped(OTHER_SIZE)
        return Content(path)


class Content:
    """The bytes of one file, measured and hashed as they are read."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._hash = hashlib.sha256()
        self.size = 0

    @property
    def digest(self) -> str:
        """Of what was read: lower-case hex SHA-256."""
        return self._hash.hexdigest()

    async def chunks(self) -> AsyncIterator[bytes]:
        with await asyncio.to_thread(self._path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, CHUNK_BYTES):
                self._hash.update(chunk)
                self.size += len(chunk)
                yield chunk


def _size_of(path: Path) -> int | None:
    try:
        return path.stat().st_size if path.is_file() else None
    except OSError:
        return None
