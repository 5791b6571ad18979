"""A real server that speaks S3, for tests: moto's, which keeps everything in memory."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import botocore.session
import pytest
from botocore.config import Config

from tests.child_process import WITH_PARENT
from tests.ports import free_ports
from users_server.services.content_settings import S3Settings

START_TIMEOUT_SECONDS = 40.0
STOP_TIMEOUT_SECONDS = 10.0
ACCESS_KEY, SECRET_KEY, REGION = "a-key-of-the-tests", "a-secret-of-the-tests", "eu-central-1"

_ATTEMPTS = 5
"""Another program may take the free port before the server does."""

_POLICY = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "s3:*", "Resource": "*"}]}


class S3Server:
    """A server with its log in ``directory``. Stopped and started again, it has the same port, and is empty."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._process: subprocess.Popen[bytes] | None = None
        self._clients: list[Any] = []
        self.port = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> S3Server:
        """Return when the server answers. Does nothing if it runs."""
        if self._process is not None:
            return self
        self._directory.mkdir(parents=True, exist_ok=True)
        for _ in range(1 if self.port else _ATTEMPTS):
            port = self.port or free_ports()
            command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
            with (self._directory / "server.log").open("ab") as log:
                process = subprocess.Popen(
                    [sys.executable, "-c", WITH_PARENT, str(os.getpid()), *command],
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                )
            if _answers(port, process):
                self.port, self._process = port, process
                return self
        pytest.fail(f"moto did not start:\n{(self._directory / 'server.log').read_text()[-3000:]}")

    def stop(self) -> None:
        """End it. Does nothing if it does not run."""
        for client in self._clients:
            client.close()
        self._clients.clear()
        if self._process is None:
            return
        process, self._process = self._process, None
        process.send_signal(signal.SIGTERM)
        process.send_signal(signal.SIGCONT)
        try:
            process.wait(STOP_TIMEOUT_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()

    def pause(self) -> None:
        """Let it hang: connections stay and nothing answers. Returns when it does."""
        assert self._process is not None, "the server does not run"
        os.kill(self._process.pid, signal.SIGSTOP)
        os.waitpid(self._process.pid, os.WUNTRACED)

    def resume(self) -> None:
        """Let it go on after :meth:`pause`."""
        assert self._process is not None, "the server does not run"
        self._process.send_signal(signal.SIGCONT)

    def bucket(self) -> str:
        """A new one."""
        name = f"bucket-{secrets.token_hex(6)}"
        self.client().create_bucket(Bucket=name, CreateBucketConfiguration={"LocationConstraint": REGION})
        return name

    def settings(self, bucket: str, **changes: Any) -> S3Settings:
        """Those of a storage in ``bucket``."""
        known: dict[str, Any] = {
            "endpoint": self.url,
            "region": REGION,
            "bucket": bucket,
            "access_key": ACCESS_KEY,
            "secret_key": SECRET_KEY,
            "path_style": True,
        }
        return S3Settings(**(known | changes))

    def objects(self, bucket: str) -> set[str]:
        """The names of the finished ones."""
        return {found["Key"] for found in self.client().list_objects_v2(Bucket=bucket).get("Contents", ())}

    def unfinished(self, bucket: str) -> set[str]:
        """The names of those that are being uploaded in parts."""
        return {found["Key"] for found in self.client().list_multipart_uploads(Bucket=bucket).get("Uploads", ())}

    def demand_credentials(self) -> tuple[str, str]:
        """From now on only who has this access key and its secret is let in."""
        iam = self.client("iam")
        iam.create_user(UserName="tester")
        iam.put_user_policy(UserName="tester", PolicyName="all", PolicyDocument=json.dumps(_POLICY))
        key = iam.create_access_key(UserName="tester")["AccessKey"]
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)
        connection.request("POST", "/moto-api/reset-auth", b"0")
        assert connection.getresponse().status == 200
        connection.close()
        return key["AccessKeyId"], key["SecretAccessKey"]

    def client(self, service: str = "s3") -> Any:
        """Of botocore."""
        client = botocore.session.Session().create_client(
            service,
            region_name=REGION,
            endpoint_url=self.url,
            aws_access_key_id=ACCESS_KEY,
            aws_secret_access_key=SECRET_KEY,
            config=Config(s3={"addressing_style": "path"}),
        )
        self._clients.append(client)
        return client


def _answers(port: int, process: subprocess.Popen[bytes]) -> bool:
    """Whether the server on ``port`` comes up before ``process`` ends."""
    deadline = time.monotonic() + START_TIMEOUT_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=0.5)
        try:
            connection.request("GET", "/moto-api/data.json")
            if connection.getresponse().status == 200:
                return process.poll() is None
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)
        finally:
            connection.close()
    if process.poll() is None:
        process.kill()
    process.wait()
    return False
