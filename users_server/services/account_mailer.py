"""The mails of accounts: which kind goes to whom with which link, and how many strangers can cause."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable

import structlog

from users_server.core.accounts import User
from users_server.core.clock import Clock
from users_server.errors import BackendError, Conflict, LimitExceeded, NotFound
from users_server.services import account_rules as rules
from users_server.services.account_settings import AccountKeySettings, MailLimits
from users_server.services.links import Links
from users_server.services.mail import Mail, MailKind, MailQueue, MailTemplates, Place
from users_server.services.mail.limits import MailCounter
from users_server.services.validation import loggable

log = structlog.stdlib.get_logger(__name__)

TOO_MANY = "Too many mails; please try again later"


class AccountMailer:
    """Makes mails for accounts and finds them a place in the queue."""

    def __init__(
        self,
        queue: MailQueue,
        templates: MailTemplates,
        links: Links,
        keys: AccountKeySettings,
        limits: MailLimits,
        clock: Clock,
    ) -> None:
        self._queue = queue
        self._templates = templates
        self._links = links
        self._keys = keys
        window, most = limits.window_seconds, limits.max_entries
        self._addresses = MailCounter(limits.per_address, window, most, clock)
        self._recipients = MailCounter(limits.per_recipient, window, most, clock)

    def reserve(self, address: str) -> Place:
        """
        A place in the queue for a mail that the client at ``address`` causes.

        Raises:
            LimitExceeded: If it has caused too many.
            BackendError: If no mail can be sent at all.
            Overloaded: If the queue is full.
        """
        wait = self._addresses.wait(address)
        if wait:
            raise LimitExceeded(TOO_MANY, retry_after_seconds=wait)
        place = self._queue.reserve()
        self._addresses.count(address)
        return place

    async def send_asked(
        self,
        find: Callable[[], Awaitable[User | None]],
        make: Callable[[User], Awaitable[Mail]],
        *,
        is_told: bool,
        address: str,
        in_vain: Callable[[User], Mail] | None = None,
    ) -> None:
        """
        Mail what ``make`` makes for the account that ``find`` finds, as the client at ``address`` asks.

        Unless that client ``is_told`` how it went, all that depends on the account is done in the background, so that
        neither the answer nor its time tells whether there is one. Its owner gets the mail ``in_vain`` where ``make``
        raises :class:`Conflict`.

        Raises:
            NotFound, Conflict: If he is told: there is no account; ``make`` has raised it.
            LimitExceeded: If too many mails were caused from ``address``; if he is told, also if the recipient got too
                many.
            BackendError, Overloaded: If no mail can be sent.
        """

        async def hidden() -> Mail | None:
            user = await find()
            if user is None:
                return None
            try:
                return await make(user)
            except LimitExceeded:
                return None
            except Conflict:
                return None if in_vain is None else in_vain(user)

        with self.reserve(address) as place:
            if not is_told:
                place.prepare(hidden)
                return
            user = await find()
            if user is None:
                raise NotFound(rules.UNKNOWN_USER)
            place.send(await make(user))

    def check_recipient(self, email: str) -> None:
        """
        Count a mail to ``email`` that its owner may not have asked for.

        To be called before a key is made: a key that is not sent would make worthless the one that was.

        Raises:
            LimitExceeded: If too many went there.
        """
        key = email.casefold()
        wait = self._recipients.wait(key)
        if wait:
            log.warning("mail not sent: too many to this address", to=loggable(email))
            raise LimitExceeded(TOO_MANY, retry_after_seconds=wait)
        self._recipients.count(key)

    def activation(self, user: User, key: str, origin: str) -> Mail:
        """With the link that activates the account."""
        link = self._links.activation(user.username, key, origin)
        return self._with_link(MailKind.ACTIVATION, user, user.email, link, self._keys.activation_seconds)

    def already_active(self, user: User) -> Mail:
        """For somebody who asked for an activation link without need."""
        return self._templates.render(MailKind.ALREADY_ACTIVE, user.email, {"username": user.username})

    def password_reset(self, user: User, key: str, origin: str) -> Mail:
        """With the link to the page for a new password or, if there is no such page, with the key itself."""
        link = self._links.password_reset(user.username, key, origin)
        return self._with_link(MailKind.PASSWORD_RESET, user, user.email, link, self._keys.password_reset_seconds, key)

    def email_change(self, user: User, email: str, key: str, origin: str) -> Mail:
        """To the new address, with the link that confirms it."""
        link = self._links.email_change(user.username, key, origin)
        return self._with_link(MailKind.EMAIL_CHANGE, user, email, link, self._keys.email_change_seconds)

    def webmaster(self, to: str, message: str, *, name: str, sender: str, username: str) -> Mail:
        """A visitor's message. An answer goes to ``sender``, if he left an address."""
        names = {"message": message, "name": name, "sender": sender, "username": username}
        return self._templates.render(MailKind.WEBMASTER, to, names, reply_to=sender, reply_name=name)

    def tell_password_changed(self, user: User) -> None:
        """Queue a note to the owner, if there is room; what it is about has happened already."""
        self._tell(self._templates.render(MailKind.PASSWORD_CHANGED, user.email, {"username": user.username}))

    def tell_email_changed(self, user: User, email: str) -> None:
        """The same, to the address that the account had before ``email``."""
        names = {"username": user.username, "email": email}
        self._tell(self._templates.render(MailKind.EMAIL_CHANGED, user.email, names))

    def _tell(self, mail: Mail) -> None:
        try:
            place = self._queue.reserve()
        except BackendError as error:
            log.warning("mail not sent", to=loggable(mail.to), reason=error.reason)
            return
        with place:
            place.send(mail)

    def _with_link(self, kind: MailKind, user: User, to: str, link: str, seconds: int, key: str = "") -> Mail:
        hours = max(1, math.ceil(seconds / 3600))
        names: dict[str, str | int] = {"username": user.username, "link": link, "key": key, "email": to, "hours": hours}
        return self._templates.render(kind, to, names)
