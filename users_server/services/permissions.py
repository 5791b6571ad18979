"""
Who may do what to whom (users-http-api.md, Privileges), and how it is refused.

A refusal never depends on whether the account that was asked for exists, unless the client may see it anyway.
"""

from __future__ import annotations

from users_server.core.accounts import Privilege, User
from users_server.core.messages import Identity
from users_server.errors import PermissionDenied, Unauthenticated

CANNOT_REMOVE_SUPER = "You cannot remove a super user"
CANNOT_CREATE_SUPER = "You cannot create a user with super admin permissions"


def is_owner(by: Identity, user: User) -> bool:
    """Whether ``by`` is the user himself."""
    return by.user_id is not None and by.user_id == user.id


def can_read(by: Identity, user: User) -> bool:
    """The owner rule: himself, or an admin."""
    return is_owner(by, user) or by.is_admin


def can_manage(by: Identity, user: User) -> bool:
    """Himself, or an admin; a super admin is changed by nobody but super admins."""
    return is_owner(by, user) or can_administer(by, user)


def can_administer(by: Identity, user: User) -> bool:
    """As :func:`can_manage`, for what an ordinary user may not do to himself either."""
    return by.is_admin and (user.privileges != Privilege.SUPER_ADMIN or by.privileges == Privilege.SUPER_ADMIN)


def can_read_meta(by: Identity, user: User) -> bool:
    """The owner rule, and internal services."""
    return by.is_trusted or can_read(by, user)


def can_write_meta(by: Identity, user: User, *, owner_may_write: bool) -> bool:
    """Admins and internal services; the user himself over a socket but not over HTTP."""
    return by.is_trusted or can_administer(by, user) or (owner_may_write and is_owner(by, user))


def require_login(by: Identity) -> None:
    """Raises :class:`Unauthenticated` for an anonymous client."""
    if not by.is_authenticated:
        raise Unauthenticated


def require_admin(by: Identity) -> None:
    """Raises :class:`Unauthenticated` for an anonymous client, :class:`PermissionDenied` for an ordinary user."""
    require_login(by)
    if not by.is_admin:
        raise PermissionDenied
