"""Messages from visitors to whoever runs the site."""

from __future__ import annotations

from users_server.core.messages import Identity
from users_server.errors import InvalidValue
from users_server.services.account_mailer import AccountMailer
from users_server.services.mail import check_name
from users_server.services.validation import is_email

NO_MESSAGE = "Please specify a message to send"
BAD_ADDRESS = "Please use a valid email address"


class WebmasterService:
    """Sends to ``to``, which visitors never learn."""

    def __init__(self, mailer: AccountMailer, to: str) -> None:
        self._mailer = mailer
        self._to = to

    async def send(self, by: Identity, message: str, *, name: str = "", sender: str = "") -> None:
        """
        Queue a message. ``sender`` is where the answer may go; the mail itself comes from this server.

        Raises:
            InvalidValue: For an empty message, or a name or address that cannot be written in a header.
            LimitExceeded: If too many mails were caused from the address of ``by``.
            BackendError, Overloaded: If no mail can be sent.
        """
        if not message.strip():
            raise InvalidValue(NO_MESSAGE)
        check_name(name)
        if sender and not is_email(sender):
            raise InvalidValue(BAD_ADDRESS)
        with self._mailer.reserve(by.address) as place:
            username = by.username or ""
            place.send(self._mailer.webmaster(self._to, message, name=name, sender=sender, username=username))
