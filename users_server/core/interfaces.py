"""
What the core needs from outside, and what it promises there.

Each method's comment states order, delivery, atomicity and zero values. Implementations live in ``backends/`` and
``web/``; every one of a kind passes the same contract tests (``tests/contract/``).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Protocol

from users_server.core.accounts import Page, Session, User
from users_server.core.apps import App
from users_server.core.clock import Clock
from users_server.core.content_stores import ContentStore
from users_server.core.idempotency import IdempotencyStore
from users_server.core.imports import ImportStore
from users_server.core.messages import (
    JSON,
    Gap,
    HistoryPage,
    HistoryRule,
    Member,
    Notice,
    PresenceChange,
    PresenceState,
    Publication,
    Revocation,
    StreamPosition,
)
from users_server.core.outbox import OutboxStore
from users_server.core.safety_stores import SafetyStore
from users_server.core.stores import AccountFlowStore


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
    A codec together with its framing: how what happens in a channel looks on the wire of one kind of connection.

    Pure, without state of any connection, so that the hub encodes once for all connections that share it. Each method
    returns the complete frames, or :obj:`None` where the protocol has no form for this.
    """

    def encode(self, publication: Publication) -> bytes | None:
        """For a subscriber."""

    def encode_presence(self, change: PresenceChange) -> bytes | None:
        """For a subscriber that was subscribed before the change."""

    def encode_gap(self, gap: Gap) -> bytes | None:
        """For a subscriber: what it has is not complete any more."""


class PublicationHandler(Protocol):
    """
    Where a broker and a presence manager bring what happened: the only way out of them.

    Everything of one channel comes in one order, the same on every node. No method may block or raise.
    """

    def handle_publication(self, publication: Publication) -> None:
        """In the order of the channel's stream, each once."""

    def handle_presence(self, change: PresenceChange) -> None:
        """In the order of the versions. A version that is not the next one, or a new epoch: some were lost."""

    def handle_gap(self, gap: Gap) -> None:
        """Publications of a channel with history were lost; those after ``gap.top`` follow."""

    def handle_revocation(self, revocation: Revocation) -> None:
        """Once on each node for each revocation."""

    def handle_notice(self, notice: Notice) -> None:
        """Once on each node for each notice."""

    def handle_interruption(self) -> None:
        """
        The line between nodes was cut and works again, and revocations or notices may have been lost.

        Whatever rests on having seen each of them must be looked up again.
        """


class Broker(Protocol):
    """
    Joins nodes. The only way in is :meth:`publish`; a node never delivers its own publication by itself.

    Methods that return an awaitable do their work in the order in which they were called, although nothing was awaited.
    They may return what :mod:`users_server.core.acceptance` has, which a caller need not wait for in a task.
    """

    async def start(self, handler: PublicationHandler) -> None:
        """Begin to bring what happens to ``handler``. Raises :class:`BrokerUnavailable`."""

    async def stop(self) -> None:
        """Bring no more. What was accepted is sent first, as far as it goes within a short time. Idempotent."""

    def subscribe(self, app: str, channel: str) -> Awaitable[None]:
        """
        Bring what happens in the channel to this node, until :meth:`unsubscribe`.

        When awaiting returns, everything that is published or changed later is brought, and what was under way for a
        former subscription is not brought any more. Idempotent. After a line was cut, the subscription is made again by
        itself, and what was missed is brought from the history, or the gap is told. Awaiting raises
        :class:`BrokerUnavailable`.
        """

    def unsubscribe(self, app: str, channel: str) -> None:
        """The last local subscriber is gone. Idempotent."""

    def publish(self, publication: Publication, history: HistoryRule | None = None) -> Awaitable[StreamPosition | None]:
        """
        Hand ``publication`` over; await the result to know that it was accepted.

        With ``history`` it is kept and gets a position, in one step with its delivery; else the position is
        :obj:`None`. The hand-over is complete when this returns: publications of one caller keep their order although
        nothing was awaited. Delivery is at most once for a node; every node sees one order within a channel.

        While the line is cut, publications wait for it, up to a number and a time. Awaiting raises
        :class:`BrokerUnavailable` if it was not published or, without history, if nobody can know; and
        :class:`Overloaded` if too many wait.
        """

    async def history(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        """
        What was published after ``since``, oldest first; without ``since`` the newest.

        ``limit`` bounds how many are returned: with ``since`` the oldest of them, without it the newest; 0 asks for the
        top alone. A channel that keeps no history has offset 0, and no position in it is complete but that.

        Raises :class:`BrokerUnavailable`.
        """

    def revoke(self, revocation: Revocation) -> Awaitable[None]:
        """
        Bring ``revocation`` to every node, this one included.

        A node that is cut off gets it when it is back, or :meth:`PublicationHandler.handle_interruption`. Awaiting
        raises :class:`BrokerUnavailable`.
        """

    def notify(self, notice: Notice) -> Awaitable[None]:
        """Bring ``notice`` to every node, this one included, as :meth:`revoke` does."""

    async def check(self) -> None:
        """Return if the broker works, else raise :class:`BrokerUnavailable`."""


class PresenceManager(Protocol):
    """
    Who is in a channel, over all nodes. It is started and stopped with its broker.

    A node's claims carry a lease, which it renews; when a node dies, its members leave within 30 s. When a node comes
    back after its lease has ended, its members join again.
    """

    def join(self, app: str, channel: str, member: Member, *, max_members: int = 0) -> Awaitable[None]:
        """
        List ``member``, whose connection is on this node.

        The change reaches every node that is subscribed to the channel, in the channel's order, this node as well.
        Idempotent; a connection that is listed as another member leaves as that one first. Awaiting raises
        :class:`LimitExceeded` if ``max_members`` (0: no limit) are listed already, and :class:`BrokerUnavailable`.
        """

    def leave(self, app: str, channel: str, connection_id: str) -> Awaitable[None]:
        """
        Remove the member of this node's connection, as :meth:`join` adds it. Idempotent.

        It is never lost: while the line is cut it is kept until it can be done, or the lease has ended.
        """

    async def state(self, app: str, channel: str) -> PresenceState:
        """Everybody listed now. Raises :class:`BrokerUnavailable`."""


class History(Protocol):
    """
    What a broker without a network keeps its channels' histories in.

    One caller at a time for each channel.
    """

    async def open(self) -> None:
        """Ready to be used. Raises :class:`StoreUnavailable`."""

    def append(self, publication: Publication, rule: HistoryRule) -> Awaitable[StreamPosition]:
        """
        Keep ``publication`` as the channel's newest.

        When awaiting returns it is as durable as this history is. Calls of one channel take effect in their order.
        Awaiting raises :class:`StoreUnavailable`; nothing was kept then.
        """

    async def read(
        self, app: str, channel: str, *, since: StreamPosition | None = None, limit: int | None = None
    ) -> HistoryPage:
        """As :meth:`Broker.history`. Raises :class:`StoreUnavailable`."""

    async def expire(self) -> None:
        """Drop what is too old. Called from time to time; bounds the memory of channels that nobody publishes to."""


class ExternalInput(Protocol):
    """What other programs publish on a Pub/Sub channel that is not one of ours."""

    async def listen(self, channel: str, handle: Callable[[bytes], Awaitable[None]]) -> None:
        """
        Bring each message on ``channel`` to ``handle``, one after the other.

        Of all nodes that listen, one gets each message; when it dies, another one takes over with what came in
        meanwhile. The subscription survives a restart of the other end. ``handle`` must not raise.
        """

    async def close(self) -> None:
        """Listen no more. Idempotent."""


class AppStore(Protocol):
    """Apps. Every method may raise :class:`StoreUnavailable`; then nothing was changed, or it was changed whole."""

    async def create_app(self, app: App) -> None:
        """
        Insert; durable when this returns.

        Raises :class:`Conflict` if the id or one of its keys is taken, or an app that was removed had the id.
        """

    async def get_app(self, app_id: str) -> App | None:
        """By id."""

    async def find_app_by_key(self, key: str) -> App | None:
        """By the key of one of its live credentials."""

    async def list_apps(self, *, owner_id: str | None = None, index: int = 0, limit: int = 20) -> Page[App]:
        """Oldest first; with ``owner_id`` those of one account."""

    async def replace_app(self, app: App) -> bool:
        """
        Compare and swap: replace the record whose version is ``app.version``, and count that up by one.

        False if the version is another one or the app is gone; nothing was changed then. Raises :class:`Conflict` if
        another app has one of its keys.
        """

    async def delete_app(self, app_id: str) -> bool:
        """True for the one caller that removed it. Its id is not given out again, since its histories may live on."""


MOST_COUNTED = 10_000
"""Up to how many matches of a search are counted: what counts all could be kept busy by anybody."""


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

        ``count`` is the number of all that match; of a search up to :data:`MOST_COUNTED`, which then means so many or
        more. ``index`` is how many are passed over.
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


class HistoryStore(Protocol):
    """A database that can also keep the histories of channels."""

    def history(self, clock: Clock | None = None) -> History:
        """Histories in this database, by ``clock`` (the machine's by default). They are opened and closed with it."""


class Store(
    UserStore,
    SessionStore,
    AppStore,
    HistoryStore,
    AccountFlowStore,
    SafetyStore,
    ContentStore,
    ImportStore,
    OutboxStore,
    IdempotencyStore,
    Protocol,
):
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
