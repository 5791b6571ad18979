"""schemathesis asks a running server whatever ``/openapi.json`` allows, and much that it does not."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from tests.server_process import ADMIN, API_KEY, TOKEN_SECRET, ServerProcess
from tests.web.forms import BOUNDARY, FormFile, form
from users_server.config.protocols import PROTOCOLS
from users_server.core.clock import SystemClock
from users_server.protocols.jwp.http import HTTP_TABLE
from users_server.services.settings import TokenKey, TokenSettings
from users_server.services.tokens import TokenService
from users_server.web.routes import ROUTES

CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
EXAMPLES = {"sqlite": 8, "mongodb": 2}
"""For each route and phase; ``USERS_SERVER_TEST_EXAMPLES`` asks for others, for a long hunt."""

SEED = os.environ.get("USERS_SERVER_TEST_SEED", "1")
LONGEST_SECONDS = 300.0
TESTED = len(ROUTES) - 1 + sum(len(folder.http.routes) for folder in PROTOCOLS if folder.http is not None)
"""All but ``/openapi.json``, which it has read already."""


@pytest.fixture(scope="module")
def token() -> str:
    """Of the super admin. It belongs to no session, so that no call can end it."""
    key = TokenKey("tests", "HS256", secret=TOKEN_SECRET)
    return TokenService(TokenSettings(keys=(key,)), SystemClock()).issue(ADMIN["username"], lifetime_seconds=3600)


@pytest.fixture(scope="module")
def existing(victim: ServerProcess) -> Mapping[str, str]:
    """Values of parameters that name something."""
    admin = victim.admin()
    admin.create("alice")
    assert admin.request("POST", "/apps", {"name": "Shop", "id": "shop"}).status == 200
    headers = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}", "Cookie": f"SID={admin.cookie}"}
    connection = http.client.HTTPConnection("localhost", victim.http_port, timeout=20)
    connection.request("POST", "/buckets/chief-bucket/upload", form(FormFile()), headers)
    file = json.loads(connection.getresponse().read())["tokens"][0]["file"]
    connection.close()
    return {
        "app": "shop",
        "bucket": "chief-bucket",
        "channel": "news",
        "id": file,
        "name": "a",
        "parentFile": file,
        "user": "alice",
        "value": "1000000",
    }


def run(
    server: ServerProcess,
    folder: Path,
    examples: int,
    headers: Mapping[str, str],
    parameters: Mapping[str, str],
    *more: str,
) -> str:
    """The output of schemathesis, which must have found nothing."""
    lines = [f"{json.dumps(f'path.{name}')} = {json.dumps(value)}" for name, value in parameters.items()]
    kept = ", ".join(f"{json.dumps(f'path.{name}')} = {json.dumps('nothing')}" for name in parameters)
    settings = ["[parameters]", *lines, "", "[[operations]]", 'include-method = ["DELETE"]', f"parameters = {{{kept}}}"]
    (folder / "settings.toml").write_text("\n".join(settings if parameters else []) + "\n", encoding="utf-8")
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", "settings.toml", "run"]
    command += [f"http://localhost:{server.http_port}/openapi.json", "--checks", ",".join(CHECKS)]
    for name, value in headers.items():
        command += ["--header", f"{name}: {value}"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(examples), "--seed", SEED]
    command += ["--continue-on-failure", "--no-shrink", "--no-color", *more]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=LONGEST_SECONDS, check=False)
    assert done.returncode == 0, done.stdout[-20_000:] + done.stderr[-2000:]
    return done.stdout


def number_of_examples(store: str) -> int:
    return int(os.environ.get("USERS_SERVER_TEST_EXAMPLES", EXAMPLES[store]))


def test_every_answer_about_what_exists_is_described(
    store: str, victim: ServerProcess, token: str, existing: Mapping[str, str], tmp_path: Path
) -> None:
    headers = {"Authorization": f"Bearer {token}", "users-api-key": API_KEY}
    output = run(victim, tmp_path, number_of_examples(store), headers, existing)
    assert f"Tested: {TESTED}" in output, output


@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_every_answer_to_a_stranger_is_described(store: str, victim: ServerProcess, tmp_path: Path) -> None:
    """Without a login, and with parameters that name nothing."""
    output = run(victim, tmp_path, number_of_examples(store) // 2, {}, {})
    assert f"Tested: {TESTED}" in output, output


def test_every_answer_to_the_back_end_of_an_app_is_described(store: str, victim: ServerProcess, tmp_path: Path) -> None:
    """The HTTP API of a protocol, with the API key of an app."""
    answer = victim.admin().request("POST", "/apps", {"name": "Game", "id": "game"})
    credentials = f"game:{answer.body['credentials']['apiKey']}".encode()
    headers = {"Authorization": f"Basic {base64.b64encode(credentials).decode()}"}
    parameters = {"name": "lobby", "socket_id": "ann"}
    output = run(victim, tmp_path, number_of_examples(store) * 3, headers, parameters, "--include-tag", HTTP_TABLE.tag)
    assert f"Tested: {len(HTTP_TABLE.routes)}" in output, output
