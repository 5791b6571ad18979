"""Files and buckets, as events and HTTP answers show them (users-socket-api.md, Events)."""

from __future__ import annotations

from marshmallow import fields

from users_server.schemas.fields import Input, StrictBoolean


class FileEntry(Input):
    """One stored file. Times are milliseconds since 1970, sizes bytes."""

    _id = fields.String(required=True, metadata={"description": "The file's id"})
    name = fields.String(required=True)
    user = fields.String(required=True, metadata={"description": "The owner's username"})
    identifier = fields.String(required=True)
    bucketId = fields.String(required=True)
    bucketName = fields.String(required=True)
    publicURL = fields.String(required=True, allow_none=True)
    created = fields.Integer(required=True, strict=True, metadata={"description": "Milliseconds since 1970"})
    size = fields.Integer(required=True, strict=True, metadata={"description": "Bytes"})
    mimeType = fields.String(required=True)
    isPublic = StrictBoolean(required=True)
    numDownloads = fields.Integer(required=True, strict=True)
    parentFile = fields.String(allow_none=True)
    meta = fields.Raw(allow_none=True)


class BucketEntry(Input):
    """One bucket. ``memoryUsed`` is in bytes."""

    _id = fields.String(required=True, metadata={"description": "The bucket's id"})
    name = fields.String(required=True)
    identifier = fields.String(required=True)
    user = fields.String(required=True, metadata={"description": "The owner's username"})
    created = fields.Integer(required=True, strict=True, metadata={"description": "Milliseconds since 1970"})
    memoryUsed = fields.Integer(required=True, strict=True, metadata={"description": "Bytes"})
    meta = fields.Raw(allow_none=True)
