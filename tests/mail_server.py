"""A real mail server on this machine, which keeps what it gets and can be told to misbehave."""

from __future__ import annotations

import asyncio
import email
import email.policy
import re
import ssl
import warnings
from dataclasses import dataclass, field
from email.message import EmailMessage
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword, Session

USERNAME = "mailer"
PASSWORD = "the mailer's own password"
LINK = re.compile(r"https?://\S+")


@dataclass
class ReceivedMail:
    """One mail, as it came over the wire."""

    sender: str
    recipients: list[str]
    content: bytes
    is_encrypted: bool
    is_authenticated: bool

    @property
    def message(self) -> EmailMessage:
        message = email.message_from_bytes(self.content, policy=email.policy.default)
        assert isinstance(message, EmailMessage)
        return message

    @property
    def subject(self) -> str:
        return str(self.message["Subject"])

    def part(self, kind: str) -> str:
        """The text of the part ``plain`` or ``html``."""
        body = self.message.get_body((kind,))
        assert body is not None
        text = body.get_content()
        assert isinstance(text, str)
        return text

    @property
    def link(self) -> str:
        """The only link of the plain text."""
        found = LINK.findall(self.part("plain"))
        assert len(found) == 1, found
        return str(found[0])


@dataclass
class MailServer:
    """
    Listens on ``port`` between :meth:`start` and :meth:`stop`; started again, on the same one.

    Attributes:
        refusals: What the next recipients are answered, one after the other; then they are accepted.
        holds: If set, no mail is taken before it is set; for a server that is slow.
    """

    tls: ssl.SSLContext | None = None
    starts_tls: bool = False
    needs_login: bool = False
    refusals: list[str] = field(default_factory=list)
    holds: asyncio.Event | None = None
    port: int = 0

    def __post_init__(self) -> None:
        self.mails: list[ReceivedMail] = []
        self.attempts = 0
        self._arrived = asyncio.Condition()
        self._server: asyncio.Server | None = None
        self._protocols: list[SMTP] = []

    async def start(self) -> None:
        implicit = self.tls if self.tls is not None and not self.starts_tls else None
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._make_protocol, "127.0.0.1", self.port, ssl=implicit)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Away: nobody listens, and the connections are gone."""
        if self._server is None:
            return
        self._server.close()
        for protocol in self._protocols:
            if protocol.transport is not None:
                protocol.transport.abort()
        await self._server.wait_closed()
        self._server = None

    async def wait_for(self, count: int) -> list[ReceivedMail]:
        """All mails, when there are ``count``."""
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: len(self.mails) >= count)
        return self.mails

    async def wait_for_attempts(self, count: int) -> None:
        async with asyncio.timeout(20), self._arrived:
            await self._arrived.wait_for(lambda: self.attempts >= count)

    async def handle_RCPT(
        self, server: SMTP, session: Session, envelope: Envelope, address: str, options: list[str]
    ) -> str:
        async with self._arrived:
            self.attempts += 1
            self._arrived.notify_all()
        if self.refusals:
            return self.refusals.pop(0)
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        if self.holds is not None:
            await self.holds.wait()
        content = envelope.content
        assert isinstance(content, bytes)
        mail = ReceivedMail(
            str(envelope.mail_from),
            [str(address) for address in envelope.rcpt_tos],
            content,
            is_encrypted=session.ssl is not None or (self.tls is not None and not self.starts_tls),
            is_authenticated=bool(session.authenticated),
        )
        async with self._arrived:
            self.mails.append(mail)
            self._arrived.notify_all()
        return "250 Accepted"

    def _make_protocol(self) -> SMTP:
        options: dict[str, Any] = {}
        if self.needs_login:
            options = {
                "authenticator": _check_login,
                "auth_required": True,
                "auth_require_tls": self.tls is not None and self.starts_tls,
            }
        if self.starts_tls:
            options |= {"tls_context": self.tls, "require_starttls": True}
        with warnings.catch_warnings():
            # a login without STARTTLS: under TLS from the first byte the library does not see that there is any
            warnings.simplefilter("ignore", UserWarning)
            protocol = SMTP(self, hostname="mail.example.com", loop=asyncio.get_running_loop(), **options)
        self._protocols.append(protocol)
        return protocol


def _check_login(server: SMTP, session: Session, envelope: Envelope, mechanism: str, data: LoginPassword) -> AuthResult:
    expected = LoginPassword(USERNAME.encode(), PASSWORD.encode())
    return AuthResult(success=data == expected, handled=False)
