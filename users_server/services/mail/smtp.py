"""Mail by SMTP."""

from __future__ import annotations

import asyncio
import socket
import ssl
from email.message import EmailMessage

import aiosmtplib

from users_server.errors import ConfigError
from users_server.services.account_settings import SmtpSettings
from users_server.services.mail.transports import DeliveryFailed

PERMANENT = 500
"""From this code on the server will say the same tomorrow (RFC 5321, 4.2.1)."""

DELIVERY_FACTOR = 3


class SmtpTransport:
    """
    A connection for each mail, encrypted as the settings say and not otherwise.

    Raises:
        ConfigError: If the file of authorities cannot be used.
    """

    def __init__(self, settings: SmtpSettings) -> None:
        self._settings = settings
        self._tls = _make_tls(settings)
        self._own_name = socket.gethostname()  # else the library asks the DNS, and the event loop waits

    async def deliver(self, message: EmailMessage, *, sender: str, recipient: str) -> None:
        settings = self._settings
        client = aiosmtplib.SMTP(
            hostname=settings.host,
            local_hostname=self._own_name,
            port=settings.port,
            username=settings.username or None,
            password=settings.password if settings.username else None,
            timeout=settings.timeout_seconds,
            use_tls=settings.security == "tls",
            start_tls=settings.security == "starttls",
            tls_context=self._tls,
        )
        try:
            async with asyncio.timeout(settings.timeout_seconds * DELIVERY_FACTOR):
                await client.connect()
                await client.sendmail(sender, [recipient], bytes(message))
        except (aiosmtplib.SMTPException, OSError, TimeoutError, ValueError) as error:
            client.close()
            raise _failure(error, f"{settings.host}:{settings.port}") from error
        except BaseException:
            client.close()
            raise
        await self._say_goodbye(client)

    async def _say_goodbye(self, client: aiosmtplib.SMTP) -> None:
        """The server has the mail, so nothing that goes wrong from here on may cause a second one."""
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                await client.quit()
        except (aiosmtplib.SMTPException, OSError, TimeoutError):
            return
        finally:
            client.close()


def _make_tls(settings: SmtpSettings) -> ssl.SSLContext | None:
    if settings.security == "none":
        return None
    try:
        return ssl.create_default_context(cafile=settings.certificate_authority or None)
    except (OSError, ValueError) as error:
        raise ConfigError(
            "mail.smtp.certificateAuthority", "expected a PEM file of certificates that can be read"
        ) from error


def _failure(error: Exception, server: str) -> DeliveryFailed:
    """What the server said, without what was said to it."""
    if isinstance(error, aiosmtplib.SMTPRecipientsRefused):
        refusal = error.recipients[0]
        return DeliveryFailed(f"{server} refused: {refusal.code}", is_permanent=refusal.code >= PERMANENT)
    if isinstance(error, aiosmtplib.SMTPResponseException):
        return DeliveryFailed(f"{server} refused: {error.code}", is_permanent=error.code >= PERMANENT)
    return DeliveryFailed(f"{server}: {type(error).__name__}")
