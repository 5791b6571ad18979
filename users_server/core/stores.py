"""
What the account flows keep beside the accounts, as :mod:`users_server.core.interfaces` has it for accounts.

Every method may raise :class:`StoreUnavailable`; then nothing was changed, or it was changed whole.
"""

from __future__ import annotations

from typing import Protocol

from users_server.core.accounts import KeyKind, OneTimeKey


class KeyStore(Protocol):
    """One-time keys. An account has at most one of each kind."""

    async def put_key(self, key: OneTimeKey) -> None:
        """Keep ``key`` in place of the account's earlier one of its kind; durable when this returns."""

    async def find_key(self, kind: KeyKind, user_id: str, *, now: int) -> OneTimeKey | None:
        """The account's key; :obj:`None` if there is none or it expired at or before ``now``."""

    async def take_key(self, key: OneTimeKey) -> bool:
        """Remove ``key``. True for the one caller that removed it; false if it is gone or was replaced."""

    async def delete_keys_of_user(self, user_id: str) -> None:
        """Remove all of an account's. Idempotent."""


class AccountFieldStore(Protocol):
    """Single fields of accounts that the flows by mail change."""

    async def set_email(self, user_id: str, email: str, *, expected: str) -> bool:
        """
        Replace the address where it still is ``expected``. False: nothing changed.

        Raises :class:`Conflict` if another account has the new one, without case.
        """

    async def renew_register_key(self, user_id: str, register_key: str) -> bool:
        """Replace the register key of an account that is not active. False if it is active or gone."""

    async def set_password_tag(self, user_id: str, password_tag: str) -> bool:
        """Replace the password tag, by nothing if it is empty. False if the account is gone."""


class AccountFlowStore(KeyStore, AccountFieldStore, Protocol):
    """All of this."""
