"""The section about files in S3: what it refuses, and what it keeps to itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from users_server.config import Config, ConfigErrors, effective_config, load_config

S3 = {"bucket": "files", "accessKey": "an-id", "secretKey": "a-very-secret-key"}


def load(folder: Path, environ: dict[str, str] | None = None, **files: Any) -> Config:
    path = folder / "config.json"
    path.write_text(json.dumps({"files": files}), encoding="utf-8")
    return load_config(path, environ or {})


@pytest.mark.parametrize(
    ("files", "path"),
    [
        ({"storage": "s3"}, "files.s3.bucket"),
        ({"storage": "s3", "s3": {"bucket": "a/b"}}, "files.s3.bucket"),
        ({"s3": {**S3, "secretKey": ""}}, "files.s3.secretKey"),
        ({"s3": {**S3, "accessKey": ""}}, "files.s3.accessKey"),
        ({"s3": {**S3, "secretKey": "with spaces"}}, "files.s3.secretKey"),
        ({"s3": {**S3, "endpoint": "minio:9000"}}, "files.s3.endpoint"),
        ({"s3": {**S3, "prefix": "/rooted"}}, "files.s3.prefix"),
        ({"s3": {**S3, "partBytes": 1_000_000}}, "files.s3.partBytes"),
        ({"storage": "s3", "s3": S3, "maxRequestBytes": 2**40}, "files.maxRequestBytes"),
    ],
)
def test_mistakes(tmp_path: Path, files: dict[str, Any], path: str) -> None:
    with pytest.raises(ConfigErrors) as caught:
        load(tmp_path, **files)
    assert [mistake.path for mistake in caught.value.mistakes] == [path]
    assert "with spaces" not in caught.value.message


def test_the_secret_is_masked(tmp_path: Path) -> None:
    config = load(tmp_path, storage="s3", s3=S3)
    assert config.files.s3.secret_key == S3["secretKey"]
    assert S3["secretKey"] not in json.dumps(effective_config(config))
    assert S3["secretKey"] not in repr(config)


def test_variables_override(tmp_path: Path) -> None:
    environ = {
        "USERS_SERVER__FILES__STORAGE": "s3",
        "USERS_SERVER__FILES__S3__BUCKET": "another",
        "USERS_SERVER__FILES__S3__SECRET_KEY": "from-the-environment",
        "USERS_SERVER__FILES__S3__PATH_STYLE": "true",
    }
    s3 = load(tmp_path, environ, s3={**S3, "certificateAuthority": "own.pem"}).files.s3
    assert (s3.bucket, s3.secret_key, s3.path_style) == ("another", "from-the-environment", True)
    assert s3.certificate_authority == str(tmp_path / "own.pem"), "relative to the configuration"
