"""What botocore's errors mean, to a client and, at the start, to an operator."""

from __future__ import annotations

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectionError,
    CredentialRetrievalError,
    HTTPClientError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    SSLError,
    UnauthorizedSSOTokenError,
)
from botocore.parsers import ResponseParserError

from users_server.errors import StartupError, StoreUnavailable
from users_server.services.content_settings import S3Settings

FAILURES = (BotoCoreError, ClientError, ResponseParserError, OSError, ValueError)
"""All that botocore raises where not the caller is to blame. Of an endpoint that is no URL it makes a ValueError."""

_NO_CREDENTIALS = (
    CredentialRetrievalError,
    NoAuthTokenError,
    NoCredentialsError,
    PartialCredentialsError,
    ProfileNotFound,
    UnauthorizedSSOTokenError,
)
_WRONG_CREDENTIALS = {
    "ExpiredToken",
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "InvalidToken",
    "SignatureDoesNotMatch",
}
_WRONG_REGION = {"AuthorizationHeaderMalformed", "IllegalLocationConstraintException", "PermanentRedirect", "301"}
_MISSING = {"404", "InvalidRange", "NoSuchKey", "NotFound"}


def unavailable() -> StoreUnavailable:
    """For clients; the cause is chained."""
    return StoreUnavailable("The storage of the files does not work; please try again later")


def code_of(error: BaseException | None) -> str:
    """What S3 calls the error; empty for one that did not come from there."""
    return str(error.response.get("Error", {}).get("Code", "")) if isinstance(error, ClientError) else ""


def is_missing(error: BaseException | None) -> bool:
    """Whether an object is not there, or not so far."""
    return code_of(error) in _MISSING


def explain(error: BaseException | None, settings: S3Settings) -> StartupError | StoreUnavailable:
    """The error of a start that ``error`` has ended; says which setting to look at, and no secret."""
    where = settings.endpoint or "Amazon S3"
    if isinstance(error, ClientError):
        return _refusal(error, settings, where)
    if isinstance(error, _NO_CREDENTIALS):
        return StartupError(
            "files.s3.accessKey: there are no credentials for the storage; write files.s3.accessKey and "
            "files.s3.secretKey, or give them as AWS's own tools take them (AWS_ACCESS_KEY_ID, a profile, a role)"
        )
    if isinstance(error, SSLError):
        return StartupError(
            f"files.s3.endpoint: {where} is not trusted; if its certificate comes from an authority of your own, name "
            "it in files.s3.certificateAuthority"
        )
    if isinstance(error, ConnectionError | HTTPClientError):
        return StoreUnavailable(
            f"The storage at {where} cannot be reached ({type(error).__name__}); check that it runs, that "
            "files.s3.endpoint is right, and whether it needs files.s3.pathStyle"
        )
    if isinstance(error, ResponseParserError):
        return StartupError(f"files.s3.endpoint: what answers at {where} does not speak S3")
    return StartupError(f"files.s3: the storage at {where} cannot be used ({error})")


def _refusal(error: ClientError, settings: S3Settings, where: str) -> StartupError | StoreUnavailable:
    code, status = code_of(error), error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    if code in _WRONG_CREDENTIALS:
        return StartupError(
            f"files.s3.accessKey: {where} refuses the credentials ({code}); check files.s3.accessKey and "
            "files.s3.secretKey"
        )
    if code == "NoSuchBucket" or status == 404:
        return StartupError(
            f"files.s3.bucket: there is no bucket {settings.bucket} at {where}; make it, or write the name of another"
        )
    if code in _WRONG_REGION:
        return StartupError(
            f"files.s3.region: the bucket {settings.bucket} at {where} is in another region ({code}); write its region"
        )
    if status == 403:
        return StartupError(
            f"files.s3.bucket: {where} does not allow {error.operation_name} in the bucket {settings.bucket}; "
            "docs/files.md lists what must be allowed"
        )
    if status >= 500 or status == 429:
        return StoreUnavailable(f"The storage at {where} does not work ({code}, status {status})")
    return StartupError(
        f"files.s3: {where} refuses {error.operation_name} in the bucket {settings.bucket} ({code}, status {status})"
    )
