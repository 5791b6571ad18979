"""Mail: its texts, its queue and its ways out."""

from users_server.services.mail.message import Mail, check_name
from users_server.services.mail.queue import MailQueue, Place
from users_server.services.mail.smtp import SmtpTransport
from users_server.services.mail.templates import MailKind, MailTemplates
from users_server.services.mail.transports import ConsoleTransport, DeliveryFailed, FileTransport, MailTransport

__all__ = [
    "ConsoleTransport",
    "DeliveryFailed",
    "FileTransport",
    "Mail",
    "MailKind",
    "MailQueue",
    "MailTemplates",
    "MailTransport",
    "Place",
    "SmtpTransport",
    "check_name",
]
