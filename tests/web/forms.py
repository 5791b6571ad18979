"""Forms with files, as browsers and curl send them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from tests.web.site import Reply, Site

BOUNDARY = "a-boundary-of-the-tests"
PNG = b"\x89PNG\r\n\x1a\n" + b"\x00\x00\x00\rIHDR" + bytes(100)
JPEG = b"\xff\xd8\xff\xe0\x00\x10JFIF" + bytes(100)


@dataclass(frozen=True)
class FormFile:
    """A file of a form; without a type the part has no Content-Type."""

    content: bytes = b"some text\n"
    name: str = "notes.txt"
    type: str | None = "text/plain"
    field: str = "file"

    def encode(self) -> bytes:
        name = self.name.replace("\\", "\\\\").replace('"', '\\"')
        head = f'Content-Disposition: form-data; name="{self.field}"; filename="{name}"\r\n'
        if self.type is not None:
            head += f"Content-Type: {self.type}\r\n"
        return head.encode() + b"\r\n" + self.content


def form(*files: FormFile, fields: dict[str, str] | None = None) -> bytes:
    """Fields first, as a page would have them."""
    parts = [
        f'Content-Disposition: form-data; name="{name}"\r\n\r\n{value}'.encode()
        for name, value in (fields or {}).items()
    ]
    parts += [file.encode() for file in files]
    boundary = BOUNDARY.encode()
    return b"".join(b"--" + boundary + b"\r\n" + part + b"\r\n" for part in parts) + b"--" + boundary + b"--\r\n"


async def upload(
    site: Site, cookie: str | None, *files: FormFile, bucket: str = "alice-bucket", meta: Any = None, path: str = ""
) -> Reply:
    """Upload ``files`` in one request."""
    fields = None if meta is None else {"meta": json.dumps(meta)}
    return await site.ask(
        "POST",
        path or f"/buckets/{bucket}/upload",
        cookie=cookie,
        raw=form(*files, fields=fields),
        headers={"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"},
    )


async def save(site: Site, cookie: str, *files: FormFile, **options: Any) -> list[str]:
    """The identifiers of ``files``, which must all be saved; by default of one."""
    reply = await upload(site, cookie, *(files or (FormFile(),)), **options)
    assert reply.status == 200, reply
    assert not [token for token in reply.json["tokens"] if token["error"]], reply
    return [token["file"] for token in reply.json["tokens"]]


async def stats(site: Site, user: str = "alice") -> tuple[int, int]:
    """Calls and memory that ``user`` has used, as the store has it."""
    found = await site.store.find_user(user)
    assert found is not None
    numbers = await site.store.get_stats(found.id)
    assert numbers is not None
    return numbers.calls_used, numbers.memory_used


async def listed(site: Site, cookie: str, bucket: str = "alice-bucket", user: str = "alice") -> list[dict[str, Any]]:
    """The entries of the files of a bucket."""
    reply = await site.ask("GET", f"/users/{user}/buckets/{bucket}/files", cookie=cookie)
    assert reply.status == 200, reply
    data: list[dict[str, Any]] = reply.json["data"]
    return data
