"""A mail server, and the certificate that it and its clients trust."""

from __future__ import annotations

import ssl
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from tornado.ioloop import IOLoop

from tests.launcher import Certificate
from tests.mail_server import MailServer

MailServerMaker = Callable[..., Awaitable[MailServer]]


@pytest.fixture
def make_mail_server(io_loop: IOLoop, certificate: Certificate) -> Iterator[MailServerMaker]:
    servers: list[MailServer] = []

    async def make(*, has_tls: bool = False, **options: Any) -> MailServer:
        if has_tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(certificate.certificate, certificate.key)
            options["tls"] = context
        server = MailServer(**options)
        servers.append(server)
        await server.start()
        return server

    yield make
    for server in servers:
        io_loop.run_sync(server.stop)
