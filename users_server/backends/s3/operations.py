"""What is asked of botocore's client, each function in one thread. Errors are botocore's own."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterator, Sequence
from typing import Any

from botocore.exceptions import ClientError, IncompleteReadError, ReadTimeoutError, ResponseStreamingError

from users_server.backends.s3.errors import code_of, is_missing

PARTIAL_CONTENT = 206
CHECK = "users-server-check"
"""The object that is written and removed at a start. No key is called so."""


def try_out(client: Any, bucket: str, prefix: str) -> None:
    """Do once all that files will need. Several servers may do it at once."""
    name = prefix + CHECK
    abort_uploads(client, bucket, name)
    client.create_multipart_upload(Bucket=bucket, Key=name)
    abort_uploads(client, bucket, name)
    client.put_object(Bucket=bucket, Key=name, Body=b"")
    try:
        client.get_object(Bucket=bucket, Key=name)["Body"].close()
    except ClientError as error:
        if not is_missing(error):  # another server that starts may have removed it
            raise
    client.delete_object(Bucket=bucket, Key=name)


def ping(client: Any, bucket: str) -> None:
    client.head_bucket(Bucket=bucket)


def put(client: Any, bucket: str, name: str, content: io.BytesIO) -> None:
    """Write a whole object."""
    content.seek(0)
    client.put_object(Bucket=bucket, Key=name, Body=content, ContentType="application/octet-stream")


def begin_upload(client: Any, bucket: str, name: str) -> tuple[str, bool]:
    """The id of a new upload in parts, and whether a first try may have begun another one."""
    answer = client.create_multipart_upload(Bucket=bucket, Key=name, ContentType="application/octet-stream")
    return answer["UploadId"], bool(answer["ResponseMetadata"].get("RetryAttempts"))


def upload_part(client: Any, bucket: str, name: str, upload_id: str, number: int, content: io.BytesIO) -> str:
    """Write one part; its ETag."""
    # a file and not bytes: those are sent at once, and the time-out would hold for all of them together
    content.seek(0)
    answer = client.upload_part(Bucket=bucket, Key=name, UploadId=upload_id, PartNumber=number, Body=content)
    return str(answer["ETag"])


def finish_upload(client: Any, bucket: str, name: str, upload_id: str, etags: Sequence[str], size: int) -> None:
    """Make an object of all parts, which have ``size`` bytes together."""
    parts = [{"PartNumber": number, "ETag": etag} for number, etag in enumerate(etags, 1)]
    try:
        client.complete_multipart_upload(Bucket=bucket, Key=name, UploadId=upload_id, MultipartUpload={"Parts": parts})
    except ClientError as error:
        # a first try whose answer was lost may have done it
        if code_of(error) != "NoSuchUpload" or client.head_object(Bucket=bucket, Key=name)["ContentLength"] != size:
            raise


def abort_uploads(client: Any, bucket: str, name: str) -> None:
    """Remove the parts of all uploads of an object that were not finished."""
    for upload_id in list(_find_uploads(client, bucket, name)):
        try:
            client.abort_multipart_upload(Bucket=bucket, Key=name, UploadId=upload_id)
        except ClientError as error:
            if code_of(error) != "NoSuchUpload":
                raise


def delete(client: Any, bucket: str, name: str) -> None:
    """Remove an object and all uploads of it; in this order, so that none can be finished after its deletion."""
    abort_uploads(client, bucket, name)
    client.delete_object(Bucket=bucket, Key=name)


def find(client: Any, bucket: str, name: str) -> None:
    """Raises if there is no such object."""
    client.head_object(Bucket=bucket, Key=name)


def read_range(client: Any, bucket: str, name: str, start: int, end: int, attempts: int) -> bytes:
    """The bytes from ``start`` to before ``end``, or to the end of the object. A line that breaks is tried again."""
    for remaining in reversed(range(attempts)):
        answer = client.get_object(Bucket=bucket, Key=name, Range=f"bytes={start}-{end - 1}")
        with contextlib.closing(answer["Body"]) as body:
            status = answer["ResponseMetadata"]["HTTPStatusCode"]
            if status != PARTIAL_CONTENT or answer["ContentLength"] > end - start:
                raise ValueError("the storage does not know ranges")
            try:
                return bytes(body.read())
            except (ReadTimeoutError, ResponseStreamingError, IncompleteReadError):
                if not remaining:
                    raise
    raise ValueError("no attempt was allowed")


def _find_uploads(client: Any, bucket: str, name: str) -> Iterator[str]:
    """The ids of the uploads of just this object. Some servers list nothing for a prefix that is no whole name."""
    place: dict[str, str] = {}
    while True:
        page = client.list_multipart_uploads(Bucket=bucket, Prefix=name, **place)
        for upload in page.get("Uploads", ()):
            if upload["Key"] == name:
                yield upload["UploadId"]
        if not page.get("IsTruncated"):
            return
        place = {"KeyMarker": page["NextKeyMarker"], "UploadIdMarker": page["NextUploadIdMarker"]}
