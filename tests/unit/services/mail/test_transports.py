"""The ways out that need no server."""

from __future__ import annotations

import email
import email.policy
import io
import stat
from pathlib import Path

import pytest

from users_server.services.mail import ConsoleTransport, DeliveryFailed, FileTransport, Mail
from users_server.services.mail.message import compose

pytestmark = pytest.mark.gen_test(timeout=10)

LINK = "https://example.com/activate-account?user=ann&key=a-key&origin="
MESSAGE = compose(
    Mail("ann@example.com", "A subject", f"Hello\n\n{LINK}\n\x1b[2Jred", "<p>Hello</p>"),
    sender="site@example.com",
    sender_name="The site",
    now_ms=0,
)


async def test_the_console_shows_the_link_and_nothing_that_a_terminal_obeys() -> None:
    stream = io.StringIO()
    await ConsoleTransport(stream).deliver(MESSAGE, sender="site@example.com", recipient="ann@example.com")
    assert "Mail to ann@example.com: A subject" in stream.getvalue()
    assert f"\n{LINK}\n" in stream.getvalue()
    assert "\x1b" not in stream.getvalue()


async def test_a_file_has_the_whole_mail_and_is_for_its_owner_only(tmp_path: Path) -> None:
    folder = tmp_path / "outgoing" / "mail"
    transport = FileTransport(folder)
    for _ in range(3):
        await transport.deliver(MESSAGE, sender="site@example.com", recipient="ann@example.com")
    files = list(folder.iterdir())
    assert [file.suffix for file in files] == [".eml"] * 3
    assert stat.S_IMODE(files[0].stat().st_mode) == 0o600
    message = email.message_from_bytes(files[0].read_bytes(), policy=email.policy.default)
    assert message["To"] == "ann@example.com"
    assert message["Subject"] == "A subject"


async def test_a_folder_that_cannot_be_made_is_a_failure_for_now(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("a file")
    with pytest.raises(DeliveryFailed) as failure:
        await FileTransport(tmp_path / "mail").deliver(MESSAGE, sender="s@e.com", recipient="ann@example.com")
    assert not failure.value.is_permanent
