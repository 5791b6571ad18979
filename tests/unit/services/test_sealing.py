"""What is sealed is opened with the right keys only, and the key file is made once, for its owner."""

from __future__ import annotations

import os
import stat
import threading
from pathlib import Path

import pytest

from users_server.errors import ConfigError
from users_server.services.sealing import SecretSealer
from users_server.services.settings import AppSettings

ONE, OTHER = "one key of at least thirty-two bytes", "another key of at least thirty-two bytes"


def with_keys(*keys: str) -> SecretSealer:
    return SecretSealer(AppSettings(encryption_keys=keys, key_file="/nonexistent/never used"))


def with_file(path: Path) -> SecretSealer:
    return SecretSealer(AppSettings(key_file=str(path)))


@pytest.mark.parametrize("secret", ["", "s3cret", "ß😀\0", "x" * 10_000])
def test_what_is_sealed_is_opened(secret: str) -> None:
    sealed = with_keys(ONE).seal(secret)
    assert with_keys(ONE).open(sealed) == secret
    assert secret == "" or secret not in sealed


def test_the_first_key_seals_and_all_open() -> None:
    old = with_keys(ONE).seal("old")
    both = with_keys(OTHER, ONE)
    assert both.open(old) == "old"
    assert with_keys(OTHER).open(both.seal("new")) == "new"


@pytest.mark.parametrize("sealed", ["", "nothing", "gAAAAA", "ß"])
def test_what_no_key_opens_names_the_setting_and_no_secret(sealed: str) -> None:
    for text in (sealed, with_keys(ONE).seal("s3cret")):
        with pytest.raises(ConfigError, match=r"apps\.encryptionKeys") as caught:
            with_keys(OTHER).open(text)
        assert "s3cret" not in str(caught.value)


def test_a_changed_token_is_not_opened() -> None:
    sealed = with_keys(ONE).seal("s3cret")
    middle = len(sealed) // 2
    changed = sealed[:middle] + ("A" if sealed[middle] != "A" else "B") + sealed[middle + 1 :]
    with pytest.raises(ConfigError):
        with_keys(ONE).open(changed)


def test_short_keys_are_refused_without_being_told() -> None:
    with pytest.raises(ConfigError, match=r"apps\.encryptionKeys\[1\]") as caught:
        with_keys(ONE, "hunter2")
    assert "hunter2" not in str(caught.value)


def test_the_key_file_is_made_when_something_is_sealed(tmp_path: Path) -> None:
    path = tmp_path / "apps.key"
    sealer = with_file(path)
    assert not path.exists()
    with pytest.raises(ConfigError, match=r"apps\.keyFile"):
        sealer.open("anything")
    assert not path.exists()
    sealed = sealer.seal("s3cret")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["apps.key"]
    assert with_file(path).open(sealed) == "s3cret"


def test_its_text_is_a_key_like_those_of_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "apps.key"
    sealed = with_file(path).seal("s3cret")
    assert with_keys(OTHER, path.read_text().strip()).open(sealed) == "s3cret"


def test_of_many_that_make_it_one_does(tmp_path: Path) -> None:
    path = tmp_path / "apps.key"
    start = threading.Barrier(8)
    sealed: list[str] = []

    def seal() -> None:
        start.wait()
        sealed.append(with_file(path).seal("s3cret"))

    threads = [threading.Thread(target=seal) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [with_file(path).open(each) for each in sealed] == ["s3cret"] * 8
    assert os.listdir(tmp_path) == ["apps.key"]


@pytest.mark.parametrize("content", [b"", b"short", b"\xff" * 40])
def test_a_damaged_key_file_is_told(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "apps.key"
    path.write_bytes(content)
    with pytest.raises(ConfigError, match=r"apps\.keyFile"):
        with_file(path).seal("s3cret")
    assert path.read_bytes() == content


def test_a_file_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"apps\.keyFile.*apps\.encryptionKeys"):
        with_file(tmp_path / "nowhere" / "apps.key").seal("s3cret")
