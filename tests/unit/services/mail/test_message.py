"""Nothing of a client gets into a header as it is."""

from __future__ import annotations

import email
import email.policy

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_server.errors import InvalidValue
from users_server.services.mail import Mail
from users_server.services.mail.message import MAX_NAME_LENGTH, check_name, compose

MAIL = Mail("ann@example.com", "A subject", "Hello", "<p>Hello</p>")
HEADERS = {"From", "To", "Subject", "Date", "Message-ID", "Auto-Submitted", "MIME-Version", "Content-Type"}


def written(mail: Mail, *, sender_name: str = "The site") -> email.message.Message:
    content = bytes(compose(mail, sender="site@example.com", sender_name=sender_name, now_ms=0))
    return email.message_from_bytes(content, policy=email.policy.default)


BREAKS = ["a\r\nBcc: eve@example.com", "a\nb", "a\rb", "a\0b", "a\u2028b", "a\x85b", "a\x0bb", "\ud800"]


@pytest.mark.parametrize("text", BREAKS)
def test_a_line_break_is_refused_everywhere(text: str) -> None:
    for mail in (
        Mail(text, "s", "t", "h"),
        Mail(f"{text}@example.com", "s", "t", "h"),
        Mail("ann@example.com", text, "t", "h"),
        Mail("ann@example.com", "s", "t", "h", reply_to=text),
        Mail("ann@example.com", "s", "t", "h", reply_to="bob@example.com", reply_name=text),
    ):
        with pytest.raises(InvalidValue):
            written(mail)
    with pytest.raises(InvalidValue):
        check_name(text)
    with pytest.raises(InvalidValue):
        written(MAIL, sender_name=text)


@pytest.mark.parametrize("address", ["", "ann", "<ann@example.com>", "ann@example.com, eve@example.com", '"a b"@e.com'])
def test_what_is_no_single_address_is_refused(address: str) -> None:
    with pytest.raises(InvalidValue):
        written(Mail(address, "s", "t", "h"))


@given(name=st.text(max_size=MAX_NAME_LENGTH), subject=st.text(max_size=150), text=st.text(max_size=200))
def test_whatever_is_accepted_adds_no_header_and_no_recipient(name: str, subject: str, text: str) -> None:
    mail = Mail("ann@example.com", subject, text, text, reply_to="bob@example.com", reply_name=name)
    try:
        message = written(mail)
    except (InvalidValue, UnicodeEncodeError):
        return
    assert set(message.keys()) == HEADERS | {"Reply-To"}
    assert len(message.keys()) == len(set(message.keys()))
    assert [address.addr_spec for address in message["To"].addresses] == ["ann@example.com"]
    assert [address.addr_spec for address in message["Reply-To"].addresses] == ["bob@example.com"]


def test_a_name_of_other_letters_arrives() -> None:
    message = written(Mail("ann@example.com", "Grüße", "t", "h", reply_to="b@example.com", reply_name="Jürgen, Ä."))
    assert message["Reply-To"].addresses[0].display_name == "Jürgen, Ä."
    assert message["Subject"] == "Grüße"
