"""The event table of the Users Socket API (users-socket-api.md, Events). The only place that knows the numbers."""

from __future__ import annotations

from users_server.protocols.base import Direction, Event
from users_server.protocols.users import handlers
from users_server.protocols.users import schemas as s

SERVER, BOTH = Direction.SERVER, Direction.BOTH

EVENTS = (
    Event(1, "Login", SERVER, s.UserInput, s.UserOutput, handlers.emit, "A user has logged in"),
    Event(2, "Logout", SERVER, s.UserInput, s.UserOutput, handlers.emit, "A user logged out, or the session ended"),
    Event(3, "Activated", SERVER, s.UserInput, s.UserOutput, handlers.emit, "An account was activated"),
    Event(4, "Removed", SERVER, s.UserInput, s.UserOutput, handlers.emit, "An account was removed"),
    Event(5, "FilesUploaded", SERVER, s.FilesUploadedInput, s.FilesUploadedOutput, handlers.emit, "Files were saved"),
    Event(6, "FilesRemoved", SERVER, s.FilesRemovedInput, s.FilesRemovedOutput, handlers.emit, "Files were removed"),
    Event(7, "BucketUploaded", SERVER, s.BucketUploadedInput, s.BucketUploadedOutput, handlers.emit, "A bucket is new"),
    Event(8, "BucketRemoved", SERVER, s.BucketRemovedInput, s.BucketRemovedOutput, handlers.emit, "A bucket is gone"),
    Event(9, "MetaRequest", BOTH, s.MetaRequestInput, s.MetaRequestOutput, handlers.meta, "Get or set meta data"),
    Event(10, "Echo", BOTH, s.EchoInput, s.EchoOutput, handlers.echo, "Answer the sender, or everybody"),
    Event(11, "Error", SERVER, s.ErrorInput, s.ErrorOutput, handlers.refuse, "A message was refused"),
)

BY_TYPE = {event.type: event for event in EVENTS}
BY_NAME = {event.name: event for event in EVENTS}
