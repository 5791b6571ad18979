"""The shapes of the numeric events (users-socket-api.md, Events), without ``eventType``, which the table owns."""

from __future__ import annotations

from marshmallow import fields

from users_server.protocols.users.errors import ERROR_CODES
from users_server.schemas.fields import Input, Output, StrictBoolean
from users_server.schemas.files import BucketEntry, FileEntry

USERNAME = {"description": "The account's username, also when the person logged in with an email address"}


class UserInput(Input):
    """Login, Logout, Activated and Removed, from a trusted connection."""

    username = fields.String(required=True, metadata=USERNAME)


class UserOutput(Output):
    """Login, Logout, Activated and Removed."""

    username = fields.String(required=True, metadata=USERNAME)


class FilesUploadedInput(Input):
    username = fields.String(required=True, metadata=USERNAME)
    files = fields.List(fields.Nested(FileEntry), required=True)


class FilesUploadedOutput(Output):
    username = fields.String(required=True, metadata=USERNAME)
    files = fields.List(fields.Nested(FileEntry), required=True)


class FilesRemovedInput(Input):
    files = fields.List(fields.Nested(FileEntry), required=True)


class FilesRemovedOutput(Output):
    files = fields.List(fields.Nested(FileEntry), required=True)


class BucketUploadedInput(Input):
    username = fields.String(required=True, metadata=USERNAME)
    bucket = fields.Nested(BucketEntry, required=True)


class BucketUploadedOutput(Output):
    username = fields.String(required=True, metadata=USERNAME)
    bucket = fields.Nested(BucketEntry, required=True)


class BucketRemovedInput(Input):
    bucket = fields.Nested(BucketEntry, required=True)


class BucketRemovedOutput(Output):
    bucket = fields.Nested(BucketEntry, required=True)


class MetaRequestInput(Input):
    """``property`` and ``val`` set a value; ``property`` alone gets it; ``val`` alone sets all; neither gets all."""

    username = fields.String(metadata={"description": "Whose meta data; by default the sender's own"})
    property = fields.String(metadata={"description": "The name of one value; by default the whole object"})
    val = fields.Raw(allow_none=True, metadata={"description": "What to set; without it the value is read"})


class MetaRequestOutput(Output):
    username = fields.String()
    property = fields.String()
    val = fields.Raw(allow_none=True, metadata={"description": "The value, as it is now"})
    error = fields.String(metadata={"description": "Why it was refused; then there is no val"})


class EchoInput(Input):
    message = fields.String(required=True)
    broadcast = StrictBoolean(metadata={"description": "True: to every approved connection, the sender included"})


class EchoOutput(Output):
    message = fields.String(required=True)


class ErrorOutput(Output):
    """The answer to a message that was refused, for its sender alone (users-socket-api.md, Bad input)."""

    code = fields.String(
        required=True, metadata={"description": "A stable slug", "enum": sorted({*ERROR_CODES.values()})}
    )
    message = fields.String(required=True, metadata={"description": "The same for people"})
    errors = fields.Dict(
        keys=fields.String(), values=fields.Raw(), metadata={"description": "Field to messages, for validation_failed"}
    )
    received = fields.Raw(metadata={"description": "The eventType that was received, where there was one"})


class ErrorInput(Input):
    """Nobody may send an Error; the shape is there so that the table is whole."""
