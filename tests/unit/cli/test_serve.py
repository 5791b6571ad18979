"""``serve`` as a process: what it prints, how it ends, and what it says when it cannot start."""

from __future__ import annotations

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.server_process import ServerProcess, make_config
from tests.unit.cli.conftest import write_config

ROOT = Path(__file__).resolve().parents[3]
ECHO = '{"eventType":10,"message":"hello"}'
NODE_MODULES = ROOT / "tests" / "wire" / "node" / "node_modules"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ServerProcess]:
    directory = tmp_path_factory.mktemp("serve")
    config = make_config(directory, adminUser={"password": ""})
    server = ServerProcess(config, directory, arguments=()).start()
    yield server
    server.stop()


def section(text: str, title: str) -> str:
    """The lines of a printed snippet after its title, up to the empty line that ends a program in the shell or not."""
    lines = text.splitlines()
    begin = next(index for index, line in enumerate(lines) if title in line)
    end = next(index for index in range(begin, len(lines)) if lines[index].endswith("'") and index > begin + 1)
    return "\n".join(lines[begin : end + 1])


def test_it_prints_what_listens_where(server: ServerProcess) -> None:
    assert f"http://localhost:{server.http_port}" in server.log
    assert f"ws://localhost:{server.websocket_port}/" in server.log
    assert str(server.directory / "users.db") in server.log


def test_the_generated_password_is_printed_once_and_works(server: ServerProcess) -> None:
    passwords = re.findall(r"chief, password (\S+)$", server.log, re.MULTILINE)
    assert len(passwords) == 1
    server.http().login("chief", passwords[0])
    assert server.log.count(passwords[0]) == 1


def test_it_warns_of_patterns_without_an_end_anchor(server: ServerProcess) -> None:
    assert server.log.count("has no end anchor") == 3


def test_the_python_snippet_works_as_printed(server: ServerProcess, tmp_path: Path) -> None:
    snippet = section(server.log, "from Python")
    result = subprocess.run(
        ["sh", "-c", snippet], cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout.strip(), result.stderr) == (ECHO, "")


@pytest.mark.node
@pytest.mark.skipif(shutil.which("node") is None or not NODE_MODULES.is_dir(), reason="needs Node.js and npm's ws")
def test_the_node_snippet_works_as_printed(server: ServerProcess, tmp_path: Path) -> None:
    snippet = section(server.log, "from Node")
    environ = {**os.environ, "NODE_PATH": str(NODE_MODULES)}
    result = subprocess.run(
        ["sh", "-c", snippet], cwd=tmp_path, env=environ, capture_output=True, text=True, timeout=60, check=False
    )
    assert (result.stdout.strip(), result.stderr) == (ECHO, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_in_order(tmp_path: Path, number: signal.Signals) -> None:
    server = ServerProcess(make_config(tmp_path), tmp_path, arguments=()).start()
    client = server.connect()
    os.kill(server.pid, number)
    client.expect_close(1001)
    client.close()
    assert server.wait() == 0


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    config = make_config(tmp_path, websocket={"closeTimeoutSeconds": 300}, shutdownSeconds=300)
    server = ServerProcess(config, tmp_path, arguments=()).start()
    with server.connect() as client:
        server.terminate()
        assert client.parse_close(client.read_frame())[0] == 1001  # and no answer, so that the server waits
        server.terminate()
        assert server.wait() == 128 + signal.SIGTERM


def test_another_start_makes_no_password(tmp_path: Path) -> None:
    server = ServerProcess(make_config(tmp_path, adminUser={"password": ""}), tmp_path, arguments=()).start()
    assert "password" in server.log
    server.stop()
    server.start()
    assert "chief, password" not in server.log
    server.stop()


def serve(folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "users_server", "serve"],
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


@pytest.mark.parametrize("path", ["http", "websocket"])
def test_a_port_that_is_taken(tmp_path: Path, path: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        write_config(tmp_path, **{path: {"port": port}}, logging={"level": "error"})
        result = serve(tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert f"{path}.port" in line
    assert str(port) in line


def test_a_mongodb_that_is_away(tmp_path: Path) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"mongodb://ann:hunter2@127.0.0.1:{closed.getsockname()[1]}/users?serverSelectionTimeoutMS=300"
        write_config(tmp_path, database={"url": url}, logging={"level": "error"})
        result = serve(tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert line.startswith("Error: ")
    assert "hunter2" not in line


def test_a_database_folder_that_is_not_there(tmp_path: Path) -> None:
    write_config(tmp_path, database={"url": "sqlite:///no/such/folder/users.db"}, logging={"level": "error"})
    result = serve(tmp_path)
    assert (result.returncode, result.stdout) == (1, "")
    (line,) = result.stderr.splitlines()
    assert "no/such/folder" in line
