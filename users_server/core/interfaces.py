"""
What the core needs from outside, and what it promises there.

Each method's comment states order, delivery, atomicity and zero values. Implementations live in ``backends/`` and
``web/``; every one of a kind passes the same contract tests (``tests/contract/``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from users_server.core.accounts import Page, Session, User
from users_server.core.messages import JSON, Publication, Revocation, StreamPosition


class Transport(Protocol):
    """
    Bytes out, and close. A transport cannot be read and never blocks.

    ``write`` is an attribute that the transport may replace by another function; it then tells its receiver
    (``Receiver.write_changed``), so that whoever keeps the function for many writes takes the new one.

    Over its byte bound it closes the slow reader by itself and tells so through its owner's ``lost``; a caller never
    waits for a client. Every method may be called on a transport that is closed already, and then does nothing.
    """

    @property
    def write(self) -> Callable[[bytes], None]:
        """Queue bytes, which are framed already. Order is kept. Never raises for a lost peer, never calls back."""

    def close(self, code: int, reason: str) -> None:
        """Send what is queued, then a close frame, and drop the link when the peer has answered or in due time."""

    def abort(self) -> None:
        """Drop the link now. What is queued is lost."""

    @property
    def queued_bytes(self) -> int:
        """What the peer has not taken yet; 0 of a transport that is closed."""


class Encoder(Protocol):
    """
    A codec together with its framing: how a publication looks on the wire of one kind of connection.

    Pure, without state of any connection, so that the hub encodes once for all connections that share it.
    """

    def encode(self, publication: Publication) -> bytes | None:
        """The complete frame, or :obj:`None` where the protocol has no form for this publication."""


class PublicationHandler(Protocol):
    """Where a broker brings what was published: the only way out of it."""

    def handle_publication(self, publication: Publication) -> None:
        """Called in the order of the channel's stream. Must not block and must not raise."""

    def handle_revocation(self, revocation: Revocation) -> None:
        """Called once on each node for each revocation. Must not block and must not raise."""


class Broker(Protocol):
    """Joins nodes. The only way in is :meth:`publish`; a node never delivers its own publication by itself."""

    async def start(self, handler: PublicationHandler) -> None:
        """Begin to bring publications to ``handler``. Raises :class:`BrokerUnavailable`."""

    async def stop(self) -> None:
        """Bring no more. Idempotent."""

    def publish(self, publication: Publication) -> Awaitable[StreamPosition]:
        """
        Hand ``publication`` over; await the result to know that it was accepted.

        The hand-over is complete when this returns: publications of one caller keep their order although nothing was
        awaited. Delivery is at most once for a node; every node sees one order within a channel. Awaiting raises
        :class:`BrokerUnavailable` if nothing was published.
        """

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        """Bring ``revocation`` to every node, this one included. Awaiting raises :class:`BrokerUnavailable`."""

    async def check(self) -> None:
        """Return if the broker works, else raise :class:`BrokerUnavailable`."""


class UserStore(Protocol):
    """Accounts. Every method may raise :class:`StoreUnavailable`; then nothing was changed, or it was changed whole."""

    async def create_user(self, user: User) -> None:
        """
        Insert; durable when this returns.

        Raises :class:`Conflict` if the id, or without case the username or the email, is taken, also when another
        request takes it at the same moment.
        """

    async def find_user(self, name: str) -> User | None:
        """By username or email, without case."""

    async def get_user(self, user_id: str) -> User | None:
        """By id."""

    async def list_users(
        self, *, search: str = "", search_emails: bool = True, index: int = 0, limit: int = 20
    ) -> Page[User]:
        """
        Those whose username, or with ``search_emails`` email, contains ``search``, oldest first.

        The search is literal and without case.

        ``count`` is the number of all that match. ``index`` is how many are passed over.
        """

    async def count_users(self) -> int:
        """How many accounts there are."""

    async def delete_user(self, user_id: str) -> bool:
        """Remove the account. True for the one caller that removed it. Sessions are the session store's."""

    async def set_password_hash(self, user_id: str, password_hash: str, *, expected: str | None = None) -> bool:
        """Replace the hash, if ``expected`` is given only where it still is the present one. False: nothing changed."""

    async def activate_user(self, user_id: str) -> bool:
        """Clear the register key. True for the one caller whose call made the account active."""

    async def record_login(self, user_id: str, *, session_id: str, at: int) -> None:
        """Set ``last_logged_in`` and ``session_id``; nothing happens for an unknown id."""

    async def record_logout(self, user_id: str, *, session_id: str) -> None:
        """Clear ``session_id`` where it still is this one."""

    async def replace_meta(self, user_id: str, meta: dict[str, JSON], *, expected_version: int) -> bool:
        """
        Compare and swap: replace the whole object and count ``meta_version`` up by one.

        False if the version is another one or the user is gone; nothing was changed then.
        """


class SessionStore(Protocol):
    """Logins. Every method may raise :class:`StoreUnavailable`."""

    async def create_session(self, session: Session) -> None:
        """Insert; durable when this returns. Raises :class:`Conflict` if the id or token hash is taken."""

    async def find_session(self, token_hash: str, *, now: int) -> Session | None:
        """By the hash of the cookie's value; :obj:`None` if there is none or it expired at or before ``now``."""

    async def get_session(self, session_id: str, *, now: int) -> Session | None:
        """By public id; :obj:`None` if there is none or it expired at or before ``now``."""

    async def touch_session(self, session_id: str, *, expires_at: int) -> bool:
        """Move the expiry, never back. False if the session is gone."""

    async def delete_session(self, session_id: str) -> Session | None:
        """Remove. The session for the one caller that removed it, :obj:`None` for every other."""

    async def delete_sessions_of_user(self, user_id: str) -> Sequence[Session]:
        """Remove all of a user's. Each session is returned to exactly one caller."""

    async def list_sessions(self, *, now: int, index: int = 0, limit: int = 20) -> Page[Session]:
        """The ones alive at ``now``, oldest first."""

    async def take_expired_sessions(self, *, now: int, limit: int) -> Sequence[Session]:
        """Remove up to ``limit`` that expired at or before ``now``. Each goes to exactly one caller, on any node."""


class Store(UserStore, SessionStore, Protocol):
    """Everything that is kept, behind one connection to one database."""

    async def open(self) -> None:
        """
        Connect, and bring the schema up to date.

        Idempotent and safe when several nodes do it at once. Raises :class:`StoreUnavailable` if the database cannot
        be reached, and :class:`StartupError` if its schema is newer than this server.
        """

    async def close(self) -> None:
        """Finish what was accepted and let go. Idempotent."""

    async def check(self) -> None:
        """Return if the database answers, else raise :class:`StoreUnavailable`."""
