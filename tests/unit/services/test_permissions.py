from __future__ import annotations

import pytest

from users_server.core.accounts import User
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import PermissionDenied, Unauthenticated
from users_server.services import permissions


def user(id: str, privileges: int) -> User:
    return User(id, f"user{id}", f"user{id}@example.com", "", privileges, 0)


SUPER, ADMIN, OTHER_ADMIN, BOB, EVE = user("1", 1), user("2", 2), user("3", 2), user("4", 3), user("5", 3)
TRUSTED = Identity(username="mailer", is_trusted=True)


def identity(of: User) -> Identity:
    return Identity(of.id, of.username, of.privileges)


@pytest.mark.parametrize(
    ("by", "whose", "read", "manage", "administer"),
    [
        (identity(SUPER), SUPER, True, True, True),
        (identity(SUPER), ADMIN, True, True, True),
        (identity(SUPER), BOB, True, True, True),
        (identity(ADMIN), SUPER, True, False, False),
        (identity(ADMIN), ADMIN, True, True, True),
        (identity(ADMIN), OTHER_ADMIN, True, True, True),
        (identity(ADMIN), BOB, True, True, True),
        (identity(BOB), SUPER, False, False, False),
        (identity(BOB), BOB, True, True, False),
        (identity(BOB), EVE, False, False, False),
        (ANONYMOUS, BOB, False, False, False),
        (TRUSTED, BOB, False, False, False),
        (Identity(privileges=1), BOB, False, False, False),
    ],
)
def test_who_may_do_what_to_whom(by: Identity, whose: User, read: bool, manage: bool, administer: bool) -> None:
    assert permissions.can_read(by, whose) is read
    assert permissions.can_manage(by, whose) is manage
    assert permissions.can_administer(by, whose) is administer


@pytest.mark.parametrize("owner_may_write", [True, False])
def test_who_may_write_meta_data(owner_may_write: bool) -> None:
    def can(by: Identity, whose: User) -> bool:
        return permissions.can_write_meta(by, whose, owner_may_write=owner_may_write)

    assert can(TRUSTED, SUPER)
    assert can(identity(ADMIN), BOB)
    assert can(identity(BOB), BOB) is owner_may_write
    assert not can(identity(BOB), EVE)
    assert not can(identity(ADMIN), SUPER)
    assert not can(ANONYMOUS, BOB)


def test_refusals() -> None:
    with pytest.raises(Unauthenticated, match=r"^You must be logged in to make this request$"):
        permissions.require_admin(ANONYMOUS)
    with pytest.raises(Unauthenticated):
        permissions.require_login(TRUSTED)
    with pytest.raises(PermissionDenied, match=r"^You don't have permission to make this request$"):
        permissions.require_admin(identity(BOB))
    permissions.require_login(identity(BOB))
    permissions.require_admin(identity(ADMIN))
