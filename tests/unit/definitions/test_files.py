"""The files as a whole: in step with the code, the same at every run, and told apart when they are not."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from users_server import __version__
from users_server.definitions import check, difference, generate, generate_documents, generated_files

ROOT = Path(__file__).resolve().parents[3]
FILES = generated_files(Path("definitions"))
REGENERATE = "Run: users-server definitions"


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_committed_file_is_in_step(path: Path) -> None:
    assert difference(ROOT / path, FILES[path]) == "", REGENERATE


def test_nothing_else_is_in_the_folder() -> None:
    assert {path.name for path in (ROOT / "definitions").iterdir()} == set(generate())


def test_files_are_the_same_at_every_run() -> None:
    program = (
        "import hashlib; from users_server.definitions import *\n"
        "print({name: hashlib.sha256(text).hexdigest() for name, text in (generate() | generate_documents()).items()})"
    )
    runs = [
        subprocess.run(
            [sys.executable, "-c", program],
            cwd=ROOT,
            env={"PYTHONHASHSEED": seed, "PYTHONDONTWRITEBYTECODE": "1"},
            capture_output=True,
            text=True,
            check=True,
        )
        for seed in ("1", "2")
    ]
    assert runs[0].stdout == runs[1].stdout
    assert "openapi.json" in runs[0].stdout


@pytest.mark.parametrize("path", FILES, ids=str)
def test_the_form_of_a_file(path: Path) -> None:
    name, text = path.name, FILES[path].decode()
    assert text.endswith("\n")
    assert not text.endswith("\n\n")
    assert all(line == line.rstrip() for line in text.splitlines())
    if name.startswith("config.example"):
        return
    assert "generated" in text.lower()
    if name.endswith(".schema.json") or "api" in name:
        assert __version__ in json.dumps(json.loads(text))


def test_check_names_what_differs(tmp_path: Path) -> None:
    folder = tmp_path / "definitions"
    assert len(check(folder)) == len(generate()) + len(generate_documents())
    for path, content in generated_files(folder).items():
        path.parent.mkdir(exist_ok=True, parents=True)
        path.write_bytes(content)
    assert check(folder) == []
    (folder / "events.d.ts").write_text("export {};\n")
    (tmp_path / "config.example.json").unlink()
    assert check(folder) == [str(folder / "events.d.ts"), str(tmp_path / "config.example.json")]


def test_a_difference_is_shown_line_by_line(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_text("one\ntwo\n")
    assert difference(file, b"one\ntwo\n") == ""
    lines = difference(file, b"one\n2\n").splitlines()
    assert lines[0].startswith(f"--- {file}")
    assert lines[-3:] == [" one", "-two", "+2"]
    assert difference(tmp_path / "missing", b"one\n").splitlines()[-1] == "+one"
    file.write_bytes(b"\xff\n")
    assert "+one" in difference(file, b"one\n")


def test_without_apispec_it_says_what_to_install() -> None:
    program = "import sys; sys.modules['apispec'] = None; import users_server.definitions"
    result = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 1
    last = result.stderr.splitlines()[-1]
    assert last == "ModuleNotFoundError: The definitions need apispec: pip install 'users-server[definitions]'"
