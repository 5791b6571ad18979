"""Files: uploads, lists, downloads, names and removal."""

from __future__ import annotations

from users_server.core.files import StoredFile
from users_server.core.messages import JSON
from users_server.services.content_entries import file_entry
from users_server.services.uploads import UploadToken
from users_server.web.downloads import FileRequest, answer_file
from users_server.web.multipart import read_parts
from users_server.web.route import Answer, Call
from users_server.web.streaming import FileAnswer


async def upload(call: Call) -> Answer:
    parts = read_parts(call.headers.get("Content-Type"), call.stream)
    tokens = await call.context.content.uploads.upload(
        call.identity, call.path["bucket"], call.path.get("parentFile", ""), parts
    )
    saved = sum(1 for token in tokens if token.file)
    return Answer({"tokens": [token_entry(token) for token in tokens]}, {"count": saved})


async def list_files(call: Call) -> Answer:
    query, content = call.query, call.context.content
    page = await content.files.list(
        call.identity,
        call.path["user"],
        call.path["bucket"],
        search=query["search"],
        index=query["index"],
        limit=query["limit"],
    )
    return Answer({"data": _entries(call, page.items), "count": page.count}, {"count": page.count})


async def download(call: Call) -> FileAnswer:
    files = call.context.content.files
    file = await files.find_download(call.identity, call.path["id"], is_for_all=call.context.is_webinate)
    return answer_file(
        _request(call),
        file,
        lambda start, length: files.read(file, start, length),
        cache_control="private, no-cache",
        count=lambda: files.count_download(file),
    )


async def download_public(call: Call) -> FileAnswer:
    content = call.context.content
    file = await content.files.find_public(call.path["bucketId"], call.path["id"])
    return answer_file(
        _request(call),
        file,
        lambda start, length: content.files.read(file, start, length),
        cache_control=f"public, max-age={content.settings.public_cache_seconds}",
    )


async def rename_file(call: Call) -> Answer:
    file = await call.context.content.files.rename(call.identity, call.path["id"], call.body["name"])
    return Answer(words={"name": file.name})


async def make_public(call: Call) -> Answer:
    file = await call.context.content.files.publish(call.identity, call.path["id"], is_public=True)
    return Answer({"data": file_entry(call.context.content.api_url(), file)})


async def make_private(call: Call) -> Answer:
    file = await call.context.content.files.publish(call.identity, call.path["id"], is_public=False)
    return Answer({"data": file_entry(call.context.content.api_url(), file)})


async def remove_files(call: Call) -> Answer:
    removed = await call.context.content.files.remove(call.identity, call.path["ids"].split(","))
    return Answer({"data": [file.identifier for file in removed]}, {"count": len(removed)})


def token_entry(token: UploadToken) -> dict[str, JSON]:
    """What became of one part, as clients know it."""
    return {
        "file": token.file,
        "field": token.field,
        "filename": token.filename,
        "error": bool(token.error_message),
        "errorMsg": token.error_message,
        "url": token.url,
    }


def _entries(call: Call, files: list[StoredFile]) -> list[JSON]:
    api_url = call.context.content.api_url()
    return [file_entry(api_url, file) for file in files]


def _request(call: Call) -> FileRequest:
    return FileRequest(call.method, call.version, call.headers)
