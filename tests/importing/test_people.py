"""Who was imported goes on as before: with the password, the cookie, the files and the mailed key that he had."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.importing.original import PASSWORD, Original, put_content, run_import
from tests.web.conftest import make_any_site, make_site
from tests.web.site import SiteMaker
from users_server.backends.local_files import LocalFileStorage
from users_server.config import Config

__all__ = ["make_any_site", "make_site"]

COOKIE = "ABCDEFGHIJKLMNOPQRSTUVWX12"


@pytest.mark.gen_test(timeout=60)
async def test_people_notice_nothing(
    original: Original, config: Config, make_any_site: SiteMaker, tmp_path: Path
) -> None:
    original.user("ann", sessionId=COOKIE)
    original.user("berta", registerKey="thekeythatwasmailed")
    original.session(COOKIE)
    bucket = original.bucket("ann", "pictures")
    put_content(tmp_path / "copy", original.file(bucket, "thefile", b"hello", isPublic=False), b"hello")
    await run_import(config, original, files=tmp_path / "copy")

    site = await make_any_site(storage_of=lambda: LocalFileStorage(config.files.folder))
    who = await site.ask("GET", "/authenticated", cookie=COOKIE)
    assert who.json["user"]["username"] == "ann"
    cookie = await site.login("ANN@example.com", PASSWORD)
    ann = await site.store.find_user("ann")
    assert ann is not None
    assert ann.password_hash.startswith("$argon2id$"), "the login has made a better hash"
    reply = await site.ask("GET", "/users/ann/buckets/pictures/files", cookie=cookie)
    (entry,) = reply.json["data"]
    assert (entry["identifier"], entry["isPublic"], entry["size"]) == ("thefile", False, 5)
    reply = await site.ask("GET", "/files/thefile/download", cookie=cookie)
    assert (reply.status, reply.body) == (200, b"hello")

    body = {"username": "berta", "password": PASSWORD}
    assert (await site.ask("POST", "/users/login", body)).status == 403
    assert (await site.ask("GET", "/activate-account?user=berta&key=thekeythatwasmailed")).status == 200
    assert (await site.ask("POST", "/users/login", body)).status == 200
