"""
Whether those who are connected still may be.

Sockets are closed by revocations, which travel from node to node. When a node was cut off from the others, some may be
lost; then everybody who is connected is looked up.
"""

from __future__ import annotations

import asyncio

import structlog

from users_server.core.clock import Clock
from users_server.core.interfaces import Store
from users_server.core.messages import Revocation
from users_server.core.node import Node
from users_server.errors import StoreUnavailable
from users_server.services.sessions import SESSION_ENDED

log = structlog.stdlib.get_logger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0


class SocketAudit:
    """
    Closes this node's sockets whose login or account has ended.

    It asks the store one question at a time, one for each login and each account however many sockets it has, so that
    it takes little from those who work. While the store is away, it waits and tries again; nobody is closed for that.
    """

    def __init__(
        self, node: Node, store: Store, clock: Clock, *, first_pause_seconds: float = FIRST_PAUSE_SECONDS
    ) -> None:
        self._node = node
        self._store = store
        self._clock = clock
        self._first_pause_seconds = first_pause_seconds
        self._is_wanted = asyncio.Event()
        self._is_idle = asyncio.Event()
        self._is_idle.set()
        self._task: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Be ready for :meth:`request`. Idempotent."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="socket-audit")

    async def stop(self) -> None:
        """End, also in the middle of an audit. Idempotent."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})

    def request(self) -> None:
        """Look everybody up who is connected now; if an audit is under way, once more after it."""
        self._is_idle.clear()
        self._is_wanted.set()

    async def finished(self) -> None:
        """Return when every audit that was requested is done."""
        await self._is_idle.wait()

    async def _run(self) -> None:
        while True:
            await self._is_wanted.wait()
            self._is_wanted.clear()
            await self._persist()
            if not self._is_wanted.is_set():
                self._is_idle.set()

    async def _persist(self) -> None:
        pause = self._first_pause_seconds
        while True:
            try:
                closed = await self._audit()
            except StoreUnavailable:
                log.warning("sockets cannot be looked up: the store is away", next_try_seconds=pause)
            except Exception:
                log.exception("sockets cannot be looked up", next_try_seconds=pause)
            else:
                log.info("sockets looked up after an interruption", ended=closed)
                return
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE_SECONDS)

    async def _audit(self) -> int:
        """How many logins and accounts had ended."""
        identities = [connection.identity for connection in self._node.hub.connections()]
        ended = 0
        for session_id in sorted({identity.session_id for identity in identities if identity.session_id}):
            if await self._store.get_session(session_id, now=self._clock.now_ms()) is None:
                self._node.handle_revocation(Revocation(session_id=session_id, message=SESSION_ENDED))
                ended += 1
        for user_id in sorted({identity.user_id for identity in identities if identity.user_id}):
            user = await self._store.get_user(user_id)
            if user is None or not user.is_active:
                self._node.handle_revocation(Revocation(user_id=user_id, message=SESSION_ENDED))
                ended += 1
        return ended
