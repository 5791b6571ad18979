"""Delivery to a real mail server: plain, under TLS, with a login; and what is a failure, for now or for good."""

from __future__ import annotations

import asyncio
import dataclasses
from email.message import EmailMessage

import pytest

from tests.launcher import Certificate
from tests.mail_server import PASSWORD, USERNAME
from tests.unit.services.mail.conftest import MailServerMaker
from users_server.errors import ConfigError
from users_server.services.account_settings import SmtpSettings
from users_server.services.mail import DeliveryFailed, Mail, SmtpTransport
from users_server.services.mail.message import compose

pytestmark = pytest.mark.gen_test(timeout=30)

SENDER = "site@example.com"
RECIPIENT = "ann@example.com"
PLAIN = SmtpSettings(host="127.0.0.1", security="none", timeout_seconds=10)


def message(text: str = "Hello") -> EmailMessage:
    mail = Mail(RECIPIENT, "A subject", text, "<p>Hello</p>")
    return compose(mail, sender=SENDER, sender_name="The site", now_ms=1_700_000_000_000)


async def deliver(settings: SmtpSettings, content: EmailMessage | None = None) -> None:
    await SmtpTransport(settings).deliver(content or message(), sender=SENDER, recipient=RECIPIENT)


async def test_a_mail_arrives_whole(make_mail_server: MailServerMaker) -> None:
    server = await make_mail_server()
    text = "Grüße 😀\n\n.a line that begins with a dot\n" + "a long line " * 100
    await deliver(dataclasses.replace(PLAIN, port=server.port), message(text))
    (mail,) = server.mails
    assert (mail.sender, mail.recipients) == (SENDER, [RECIPIENT])
    assert mail.part("plain").replace("\r\n", "\n").rstrip() == text.rstrip()
    assert mail.part("html").strip() == "<p>Hello</p>"
    assert mail.message["From"] == "The site <site@example.com>"
    assert mail.message["Date"].datetime.timestamp() == 1_700_000_000
    assert not mail.is_encrypted


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_encrypted_and_with_a_login(
    make_mail_server: MailServerMaker, certificate: Certificate, security: str
) -> None:
    server = await make_mail_server(has_tls=True, starts_tls=security == "starttls", needs_login=True)
    settings = SmtpSettings(
        host="localhost",
        port=server.port,
        security=security,
        username=USERNAME,
        password=PASSWORD,
        certificate_authority=str(certificate.certificate),
    )
    await deliver(settings)
    assert server.mails[0].is_encrypted
    assert server.mails[0].is_authenticated


@pytest.mark.parametrize("security", ["starttls", "tls"])
async def test_a_certificate_that_nobody_vouches_for_gets_nothing(
    make_mail_server: MailServerMaker, security: str
) -> None:
    server = await make_mail_server(has_tls=True, starts_tls=security == "starttls")
    with pytest.raises(DeliveryFailed) as failure:
        await deliver(SmtpSettings(host="localhost", port=server.port, security=security))
    assert not failure.value.is_permanent
    assert server.mails == []


async def test_nothing_is_sent_where_encryption_is_asked_for_and_not_offered(make_mail_server: MailServerMaker) -> None:
    server = await make_mail_server()
    with pytest.raises(DeliveryFailed):
        await deliver(dataclasses.replace(PLAIN, port=server.port, security="starttls"))
    assert server.mails == []


async def test_a_wrong_login_is_permanent_and_not_told(make_mail_server: MailServerMaker) -> None:
    server = await make_mail_server(needs_login=True)
    settings = dataclasses.replace(PLAIN, port=server.port, username=USERNAME, password="a wrong one")
    with pytest.raises(DeliveryFailed) as failure:
        await deliver(settings)
    assert failure.value.is_permanent
    assert "a wrong one" not in str(failure.value)
    assert "a wrong one" not in repr(settings)


@pytest.mark.parametrize(("refusal", "is_permanent"), [("550 No such user", True), ("451 Try again", False)])
async def test_a_refusal_of_the_recipient(make_mail_server: MailServerMaker, refusal: str, is_permanent: bool) -> None:
    server = await make_mail_server(refusals=[refusal])
    with pytest.raises(DeliveryFailed) as failure:
        await deliver(dataclasses.replace(PLAIN, port=server.port))
    assert failure.value.is_permanent is is_permanent
    assert server.mails == []


async def test_a_server_that_hangs_is_given_up_in_time(make_mail_server: MailServerMaker) -> None:
    never = asyncio.Event()
    server = await make_mail_server(holds=never)
    with pytest.raises(DeliveryFailed) as failure:
        await deliver(dataclasses.replace(PLAIN, port=server.port, timeout_seconds=0.2))
    assert not failure.value.is_permanent


async def test_a_server_that_is_away(make_mail_server: MailServerMaker) -> None:
    server = await make_mail_server()
    await server.stop()
    with pytest.raises(DeliveryFailed) as failure:
        await deliver(dataclasses.replace(PLAIN, port=server.port))
    assert not failure.value.is_permanent


def test_a_file_of_authorities_that_is_none(tmp_path: object) -> None:
    with pytest.raises(ConfigError) as error:
        SmtpTransport(SmtpSettings(certificate_authority=f"{tmp_path}/missing.pem"))
    assert error.value.path == "mail.smtp.certificateAuthority"
