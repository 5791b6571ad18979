"""Buckets, files and their accounting. Rows of the route table."""

from __future__ import annotations

from dataclasses import replace

from users_server.schemas.content import (
    BucketsAnswer,
    BucketsQuery,
    ContentQuery,
    FileEntryAnswer,
    FilesAnswer,
    RemovedAnswer,
    RenameInput,
    StatsAnswer,
    UploadAnswer,
)
from users_server.services.audit import Action
from users_server.web.rest import buckets, files, stats
from users_server.web.route import ANY_TYPE, Route, Who

STATS = (
    Route(
        "GET",
        "/users/:user/get-stats",
        stats.get_stats,
        Who.OWNER,
        summary="Tell what a user may use of the storage, and what he has used",
        message="Successfully retrieved {name}'s stats",
        tag="stats",
        answer=StatsAnswer,
    ),
    Route(
        "POST",
        "/create-stats/:user",
        stats.create_stats,
        Who.ADMIN,
        summary="Make stats for a user that has none",
        message="Stats for the user '{name}' have been created",
        tag="stats",
        action=Action.STORAGE_CHANGED,
    ),
    Route(
        "PUT",
        "/stats/storage-calls/:user/:value",
        stats.set_calls_used,
        Who.ADMIN,
        summary="Set how many API calls a user has used",
        message="Updated the user API calls to [{value}]",
        tag="stats",
        action=Action.STORAGE_CHANGED,
    ),
    Route(
        "PUT",
        "/stats/storage-allocated-calls/:user/:value",
        stats.set_calls_allocated,
        Who.ADMIN,
        summary="Set how many API calls a user may use",
        message="Updated the user API calls to [{value}]",
        tag="stats",
        action=Action.STORAGE_CHANGED,
    ),
    Route(
        "PUT",
        "/stats/storage-memory/:user/:value",
        stats.set_memory_used,
        Who.ADMIN,
        summary="Set how many bytes a user has used",
        message="Updated the user memory to [{value}] bytes",
        tag="stats",
        action=Action.STORAGE_CHANGED,
    ),
    Route(
        "PUT",
        "/stats/storage-allocated-memory/:user/:value",
        stats.set_memory_allocated,
        Who.ADMIN,
        summary="Set how many bytes a user may use",
        message="Updated the user memory to [{value}] bytes",
        tag="stats",
        action=Action.STORAGE_CHANGED,
    ),
)

BUCKETS = (
    Route(
        "GET",
        "/users/:user/buckets",
        buckets.list_buckets,
        Who.OWNER,
        summary="List the buckets of a user",
        message="Found [{count}] buckets",
        tag="buckets",
        query=BucketsQuery,
        answer=BucketsAnswer,
    ),
    Route(
        "POST",
        "/users/:user/buckets/:name",
        buckets.create_bucket,
        Who.OWNER,
        summary="Create a bucket",
        message="Bucket '{name}' created",
        tag="buckets",
    ),
    Route(
        "DELETE",
        "/buckets/:names",
        buckets.remove_buckets,
        Who.LOGGED_IN,
        summary="Remove one's own buckets and their files; names are separated by commas",
        message="Removed [{count}] buckets",
        tag="buckets",
        answer=RemovedAnswer,
    ),
)

UPLOAD = Route(
    "POST",
    "/buckets/:bucket/upload",
    files.upload,
    Who.LOGGED_IN,
    summary="Upload files, as multipart/form-data, to one's own bucket",
    message="Upload complete. [{count}] Files have been saved.",
    tag="files",
    answer=UploadAnswer,
    failure={"tokens": []},
    takes_stream=True,
)

DOWNLOAD = Route(
    "GET",
    "/files/:id/download",
    files.download,
    Who.ALL,
    summary="Download a file; a private one needs its owner or an admin",
    message="",
    tag="files",
    answer=None,
    content_type=ANY_TYPE,
    keeps_status=True,
)

FILES = (
    Route(
        "GET",
        "/users/:user/buckets/:bucket/files",
        files.list_files,
        Who.OWNER,
        summary="List the files of a bucket",
        message="Found [{count}] files",
        tag="files",
        query=ContentQuery,
        answer=FilesAnswer,
    ),
    UPLOAD,
    replace(
        UPLOAD,
        path="/buckets/:bucket/upload/:parentFile",
        summary="Upload files that are removed with another one, whose identifier is in the path",
    ),
    DOWNLOAD,
    replace(
        DOWNLOAD,
        path="/public/:bucketId/:id",
        handler=files.download_public,
        summary="Get a file that is public, as its publicURL says",
        is_anonymous=True,
    ),
    Route(
        "PUT",
        "/files/:id/rename-file",
        files.rename_file,
        Who.LOGGED_IN,
        summary="Rename one's own file",
        message="Renamed file to '{name}'",
        tag="files",
        request=RenameInput,
    ),
    Route(
        "PUT",
        "/files/:id/make-public",
        files.make_public,
        Who.LOGGED_IN,
        summary="Let everybody read one's own file",
        message="File is now public",
        tag="files",
        answer=FileEntryAnswer,
    ),
    Route(
        "PUT",
        "/files/:id/make-private",
        files.make_private,
        Who.LOGGED_IN,
        summary="Keep one's own file to oneself",
        message="File is now private",
        tag="files",
        answer=FileEntryAnswer,
    ),
    Route(
        "DELETE",
        "/files/:ids",
        files.remove_files,
        Who.LOGGED_IN,
        summary="Remove one's own files; identifiers are separated by commas",
        message="Removed [{count}] files",
        tag="files",
        answer=RemovedAnswer,
    ),
)

CONTENT = (*STATS, *BUCKETS, *FILES)
