"""Files of a server that runs: kill -9 in the middle, large uploads, ranges, and many that fight for the last bytes."""

from __future__ import annotations

import http.client
import json
import os
import secrets
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pymongo
import pytest

from tests.s3_server import ACCESS_KEY, REGION, SECRET_KEY, S3Server
from tests.server_process import ServerProcess, UsersClient

BOUNDARY = "a-boundary-of-the-tests"
LARGE_BYTES = {"sqlite": 200_000_000, "mongodb": 60_000_000, "s3": 60_000_000}
"""
FerretDB, and moto, which copies the whole file for each range of it, need most of the time; it is enough to see that
memory does not grow with the size.
"""

SENT_BYTES = {"sqlite": 1_500_000, "mongodb": 1_500_000, "s3": 6_500_000}
"""Before the kill. A bucket gets a file in parts of 5 MiB."""

MOST_GROWTH_BYTES = 40_000_000
RECOVERY_SECONDS = 30.0
FILES = {"leaseSeconds": 1.5, "sweepSeconds": 0.3, "maxRequestBytes": 300_000_000}

Serve = Callable[..., ServerProcess]
StoredKeys = Callable[[ServerProcess], set[str]]


@pytest.fixture(scope="module", params=["sqlite", "mongodb", "s3"])
def store(request: pytest.FixtureRequest) -> str:
    """Each with its storage: a folder, GridFS; and a bucket, beside SQLite."""
    return str(request.param)


@pytest.fixture
def files_config(store: str, request: pytest.FixtureRequest) -> dict[str, Any]:
    if store != "s3":
        return {**FILES, "storage": "gridfs" if store == "mongodb" else "folder"}
    server: S3Server = request.getfixturevalue("s3_server")
    s3 = {
        "endpoint": server.url,
        "region": REGION,
        "bucket": server.bucket(),
        "prefix": "files/",
        "accessKey": ACCESS_KEY,
        "secretKey": SECRET_KEY,
        "pathStyle": True,
    }
    return {**FILES, "storage": "s3", "s3": s3}


@pytest.fixture
def stored_keys(store: str, files_config: dict[str, Any], request: pytest.FixtureRequest) -> StoredKeys:
    """Tells what takes room in the storage of a server, finished or not."""
    if store == "mongodb":
        return keys_in_database
    if store == "sqlite":
        return keys_in_folder
    s3_server: S3Server = request.getfixturevalue("s3_server")
    bucket = files_config["s3"]["bucket"]
    return lambda _: s3_server.objects(bucket) | s3_server.unfinished(bucket)


def opening(name: str = "file.bin") -> bytes:
    return (
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n'
        "Content-Type: application/octet-stream\r\n\r\n"
    ).encode()


CLOSING = f"\r\n--{BOUNDARY}--\r\n".encode()


def send_head(server: ServerProcess, cookie: str, length: int, bucket: str) -> http.client.HTTPConnection:
    connection = http.client.HTTPConnection("localhost", server.http_port, timeout=60)
    connection.putrequest("POST", f"/buckets/{bucket}/upload")
    connection.putheader("Content-Type", f"multipart/form-data; boundary={BOUNDARY}")
    connection.putheader("Cookie", f"SID={cookie}")
    connection.putheader("Content-Length", str(length))
    connection.endheaders()
    return connection


def upload(server: ServerProcess, person: UsersClient, content: bytes, bucket: str) -> dict[str, Any]:
    body = opening() + content + CLOSING
    connection = send_head(server, person.cookie or "", len(body), bucket)
    connection.send(body)
    response = connection.getresponse()
    answer: dict[str, Any] = json.loads(response.read())
    connection.close()
    return answer


def new_person(server: ServerProcess) -> tuple[str, UsersClient]:
    name = f"user{secrets.token_hex(4)}"
    server.admin().create(name, password="a password")
    person = server.http()
    person.login(name, "a password")
    return name, person


def keys_in_database(server: ServerProcess) -> set[str]:
    url = server.config["database"]["url"]
    with pymongo.MongoClient[dict[str, Any]](url, serverSelectionTimeoutMS=5000) as client:
        database = client.get_default_database()
        chunks = {document["files_id"] for document in database["contents.chunks"].find({}, {"files_id": 1})}
        return chunks | {document["_id"] for document in database["contents.files"].find({}, {"_id": 1})}


def keys_in_folder(server: ServerProcess) -> set[str]:
    return {path.name for path in (server.directory / "files").rglob("*") if path.is_file()}


def until(condition: Callable[[], bool], server: ServerProcess, seconds: float = RECOVERY_SECONDS) -> None:
    """Ask again and again; each question is a request or a look at the disk, which takes its own time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, server.log
        assert server.http().get("/healthz").status == 200


def test_kill_in_the_middle_of_uploads_leaves_no_orphan(
    serve: Serve, store: str, files_config: dict[str, Any], stored_keys: StoredKeys
) -> None:
    server = serve(files=files_config)
    name, person = new_person(server)
    saved = upload(server, person, b"saved" * 1000, f"{name}-bucket")["tokens"][0]
    connections = []
    for _ in range(5):
        connection = send_head(server, person.cookie or "", 10_000_000, f"{name}-bucket")
        connection.send(opening() + os.urandom(SENT_BYTES[store]))
        connections.append(connection)
    until(lambda: len(stored_keys(server)) == 6, server)
    server.kill()
    for connection in connections:
        connection.close()
    assert len(stored_keys(server)) == 6, "the crash has left them"
    server.start()
    until(lambda: len(stored_keys(server)) == 1, server)
    again = server.http()
    again.login(name, "a password")
    data = again.get(f"/users/{name}/get-stats").body["data"]
    assert (data["apiCallsUsed"], data["memoryUsed"]) == (2, 5000)
    files = again.get(f"/users/{name}/buckets/{name}-bucket/files").body["data"]
    assert [file["identifier"] for file in files] == [saved["file"]]
    assert again.get(f"/files/{saved['file']}/download").body == "saved" * 1000


def test_kill_under_load_keeps_files_and_accounts_in_step(
    serve: Serve, files_config: dict[str, Any], stored_keys: StoredKeys
) -> None:
    """Killed anywhere between the first byte and the answer: the numbers are those of the files that are there."""
    server = serve(files=files_config)
    name, person = new_person(server)
    acknowledged: list[str] = []

    def work() -> None:
        try:
            while True:
                token = upload(server, person, os.urandom(50_000), f"{name}-bucket")["tokens"][0]
                acknowledged.append(token["file"])
                if len(acknowledged) % 3 == 0:
                    answer = person.request("DELETE", f"/files/{acknowledged[-1]}")
                    assert answer.status == 200
                    acknowledged.remove(answer.body["data"][0])
        except (OSError, http.client.HTTPException, ValueError):
            return

    with ThreadPoolExecutor(4) as pool:
        workers = [pool.submit(work) for _ in range(4)]
        until(lambda: len(acknowledged) >= 12, server)
        server.kill()
        for worker in workers:
            worker.result(60)
    server.start()
    again = server.http()
    again.login(name, "a password")

    def is_in_step() -> bool:
        listed = again.get(f"/users/{name}/buckets/{name}-bucket/files?limit=100").body
        memory = again.get(f"/users/{name}/get-stats").body["data"]["memoryUsed"]
        return bool(memory == 50_000 * listed["count"] and len(stored_keys(server)) == listed["count"])

    until(is_in_step, server)
    listed = again.get(f"/users/{name}/buckets/{name}-bucket/files?limit=100").body
    missing = set(acknowledged) - {file["identifier"] for file in listed["data"]}
    assert len(missing) <= 4, "but for removals that were not answered, one a worker"


def test_a_large_upload_needs_little_memory(serve: Serve, store: str, files_config: dict[str, Any]) -> None:
    large_bytes = LARGE_BYTES[store]
    server = serve(files=files_config)
    name, person = new_person(server)
    upload(server, person, os.urandom(5_000_000), f"{name}-bucket")
    before = resident_bytes(server)
    chunk = os.urandom(1_000_000)
    length = len(opening()) + large_bytes + len(CLOSING)
    connection = send_head(server, person.cookie or "", length, f"{name}-bucket")
    connection.send(opening())
    most = before
    for _ in range(large_bytes // len(chunk)):
        connection.send(chunk)
        most = max(most, resident_bytes(server))
    connection.send(CLOSING)
    token = json.loads(connection.getresponse().read())["tokens"][0]
    connection.close()
    assert token["error"] is False
    assert most - before < MOST_GROWTH_BYTES
    received = download(server, f"/files/{token['file']}/download")
    assert sum(len(piece) for piece in received) == large_bytes
    assert resident_bytes(server) - before < MOST_GROWTH_BYTES
    assert person.get(f"/users/{name}/get-stats").body["data"]["memoryUsed"] == 5_000_000 + large_bytes


def test_twenty_at_once_never_exceed_the_quota(
    serve: Serve, files_config: dict[str, Any], stored_keys: StoredKeys
) -> None:
    server = serve(files={**files_config, "memoryAllocated": 7_500_000})
    name, person = new_person(server)
    content = os.urandom(1_000_000)
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: upload(server, person, content, f"{name}-bucket"), range(20)))
    tokens = [answer["tokens"][0] for answer in answers]
    assert sum(not token["error"] for token in tokens) == 7
    assert person.get(f"/users/{name}/get-stats").body["data"]["memoryUsed"] == 7_000_000
    until(lambda: len(stored_keys(server)) == 7, server)


def test_cut_uploads_leave_nothing(serve: Serve, files_config: dict[str, Any], stored_keys: StoredKeys) -> None:
    server = serve(files=files_config)
    name, person = new_person(server)
    for length in (10, 100_000, 3_000_000, 8_000_000):
        connection = send_head(server, person.cookie or "", 9_000_000, f"{name}-bucket")
        connection.send((opening() + os.urandom(8_000_000))[:length])
        assert isinstance(connection.sock, socket.socket)
        connection.sock.shutdown(socket.SHUT_RDWR)
        connection.close()
    until(lambda: not stored_keys(server), server)
    assert person.get(f"/users/{name}/get-stats").body["data"]["memoryUsed"] == 0


def test_ranges_of_a_file_in_several_parts(serve: Serve, files_config: dict[str, Any]) -> None:
    server = serve(files=files_config)
    name, person = new_person(server)
    content = os.urandom(6_000_000)
    token = upload(server, person, content, f"{name}-bucket")["tokens"][0]
    path = f"/files/{token['file']}/download"
    assert b"".join(download(server, path)) == content
    for first, last in ((0, 0), (5_242_870, 5_242_890), (1_000, 900_000), (5_999_999, 5_999_999)):
        assert b"".join(download(server, path, Range=f"bytes={first}-{last}")) == content[first : last + 1]
    assert b"".join(download(server, path, Range="bytes=-10")) == content[-10:]


def test_a_client_sees_each_event_of_files_and_buckets_once(serve: Serve, files_config: dict[str, Any]) -> None:
    server = serve(files=files_config)
    name, person = new_person(server)
    with server.connect() as witness:
        assert person.request("POST", f"/users/{name}/buckets/second").status == 200
        token = upload(server, person, b"bytes", "second")["tokens"][0]
        assert person.request("DELETE", f"/files/{token['file']}").status == 200
        assert person.request("DELETE", "/buckets/second").status == 200
        events = witness.events_until_echo("mark")
    assert [event["eventType"] for event in events] == [7, 5, 6, 8]
    assert [file["identifier"] for file in events[1]["files"]] == [token["file"]]
    assert events[0]["username"] == events[1]["username"] == name
    assert events[0]["bucket"]["name"] == events[3]["bucket"]["name"] == "second"


def resident_bytes(server: ServerProcess) -> int:
    status = Path(f"/proc/{server.pid}/status")
    if not status.exists():
        pytest.skip("this system does not tell the memory of a process")
    line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


def download(server: ServerProcess, path: str, **headers: str) -> Iterator[bytes]:
    connection = http.client.HTTPConnection("localhost", server.http_port, timeout=60)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    while piece := response.read(65_536):
        yield piece
    connection.close()
