"""Buckets, files and their accounting over HTTP (users-http-api.md)."""

from __future__ import annotations

from marshmallow import fields, validate

from users_server.core.files import StorageStats
from users_server.core.messages import JSON
from users_server.schemas.answers import MessageAnswer
from users_server.schemas.fields import Output
from users_server.schemas.files import BucketEntry, FileEntry
from users_server.schemas.queries import MAX_SEARCH, PageQuery
from users_server.schemas.users import TextInput
from users_server.services.buckets import MAX_PAGE


class ContentQuery(PageQuery):
    search = fields.String(
        load_default="",
        validate=validate.Length(max=MAX_SEARCH),
        metadata={"description": "A part of the name, without case; nothing in it is special"},
    )


class BucketsQuery(ContentQuery):
    limit = fields.Integer(
        load_default=MAX_PAGE,
        validate=validate.Range(1, MAX_PAGE),
        metadata={"description": "How many are answered at most"},
    )


class RenameInput(TextInput):
    name = fields.String(required=True, metadata={"description": "The new name"})


class BucketsAnswer(MessageAnswer):
    data = fields.List(fields.Nested(BucketEntry), required=True)
    count = fields.Integer(required=True, metadata={"description": "How many there are in all"})


class FilesAnswer(MessageAnswer):
    data = fields.List(fields.Nested(FileEntry), required=True)
    count = fields.Integer(required=True, metadata={"description": "How many there are in all"})


class FileEntryAnswer(MessageAnswer):
    data = fields.Nested(FileEntry, required=True)


class RemovedAnswer(MessageAnswer):
    data = fields.List(fields.String(), required=True, metadata={"description": "Identifiers of what was removed"})


class UploadToken(Output):
    """What became of one file of an upload."""

    file = fields.String(required=True, metadata={"description": "The file's identifier; empty if it was not saved"})
    field = fields.String(required=True, metadata={"description": "The name of the form's field"})
    filename = fields.String(required=True)
    error = fields.Boolean(required=True)
    errorMsg = fields.String(required=True, metadata={"description": "For people; empty if it was saved"})
    url = fields.String(required=True, metadata={"description": "The file's publicURL; empty if it was not saved"})


class UploadAnswer(MessageAnswer):
    tokens = fields.List(fields.Nested(UploadToken), required=True)


class StatsEntry(Output):
    """What an account may use of the storage, and what it has used. Memory is in bytes."""

    _id = fields.String(required=True)
    user = fields.String(required=True, metadata={"description": "The username"})
    apiCallsAllocated = fields.Integer(required=True)
    memoryAllocated = fields.Integer(required=True)
    apiCallsUsed = fields.Integer(required=True)
    memoryUsed = fields.Integer(required=True)


class StatsAnswer(MessageAnswer):
    data = fields.Nested(StatsEntry, required=True)


def stats_entry(stats: StorageStats) -> dict[str, JSON]:
    """The stats as clients see them."""
    return {
        "_id": stats.id,
        "user": stats.username,
        "apiCallsAllocated": stats.calls_allocated,
        "memoryAllocated": stats.memory_allocated,
        "apiCallsUsed": stats.calls_used,
        "memoryUsed": stats.memory_used,
    }
