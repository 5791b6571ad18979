"""
A mail, and how it is written down for SMTP.

Rule: nothing that came from a client reaches a header without a check of its own. Addresses are ASCII without quotes
(:func:`~users_server.services.validation.is_email`), names and subjects are one printable line; what is left, the email
package folds and encodes.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP
from email.utils import format_datetime, make_msgid

from users_server.errors import InvalidValue
from users_server.services.validation import is_email

MAX_NAME_LENGTH = 100
MAX_SUBJECT_LENGTH = 200


@dataclass(frozen=True, slots=True)
class Mail:
    """What is sent to whom. ``reply_to`` and ``reply_name`` are who gets the answer, if not the sender."""

    to: str
    subject: str
    text: str
    html: str
    reply_to: str = ""
    reply_name: str = ""


def compose(mail: Mail, *, sender: str, sender_name: str, now_ms: int) -> EmailMessage:
    """
    The message with all its headers, as plain text and as HTML.

    Raises:
        InvalidValue: For an address, name or subject that may not stand in a header.
    """
    message = EmailMessage(policy=SMTP)
    message["From"] = _mailbox(sender_name, sender)
    message["To"] = _mailbox("", mail.to)
    if mail.reply_to:
        message["Reply-To"] = _mailbox(mail.reply_name, mail.reply_to)
    message["Subject"] = _subject(mail.subject)
    message["Date"] = format_datetime(datetime.fromtimestamp(now_ms / 1000, UTC))
    message["Message-ID"] = make_msgid(domain=sender.rpartition("@")[2])
    message["Auto-Submitted"] = "auto-generated"
    message.set_content(mail.text)
    message.add_alternative(mail.html, subtype="html")
    return message


def check_name(name: str) -> None:
    """
    Return if ``name`` may stand beside an address.

    Raises:
        InvalidValue: If it is too long, or more than one printable line.
    """
    if len(name) > MAX_NAME_LENGTH or not is_one_line(name):
        raise InvalidValue("Please use a name of one line")


def is_one_line(text: str) -> bool:
    """Whether there is neither a line break nor another control character in ``text``, nor half a character."""
    return not any(unicodedata.category(letter) in {"Cc", "Cf", "Cs", "Zl", "Zp"} for letter in text)


def _mailbox(name: str, address: str) -> Address:
    if not is_email(address):
        raise InvalidValue("Please use a valid email address")
    check_name(name)
    return Address(display_name=name, addr_spec=address)


def _subject(text: str) -> str:
    if not is_one_line(text) or len(text) > MAX_SUBJECT_LENGTH:
        raise InvalidValue("The subject must be one line")
    return text
