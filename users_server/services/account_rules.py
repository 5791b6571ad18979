"""
What an account must look like, and the messages for one that does not.

The texts are fixed by users-http-api.md (Messages of refusals), since clients show them to people; so is their order.
"""

from __future__ import annotations

from users_server.core.accounts import Privilege
from users_server.errors import InvalidValue, PermissionDenied
from users_server.services.passwords import PasswordService
from users_server.services.permissions import CANNOT_CREATE_SUPER
from users_server.services.validation import is_email, is_username

INVALID_NAME = "Please enter a valid username"
INVALID_NAME_CHARACTERS = "Please only use alpha numeric characters for your username"
LOGIN_REFUSED = "The username or password is incorrect."
NOT_ACTIVATED = "Please authorise your account by clicking on the link that was sent to your email"
ALREADY_ACTIVATED = "Account has already been activated"
UNKNOWN_USER = "No user exists with the specified details"
UNKNOWN_USER_TO_REMOVE = "Could not find any users with those credentials"
NAME_TAKEN = "A user with that name or email already exists"
REGISTERED_ALREADY = "That username or email is already in use; please choose another or login."
UNKNOWN_CREDENTIALS = "No user exists with those credentials"
WRONG_ACTIVATION_KEY = "Activation key is not valid. Please try send another."
WRONG_EMAIL_KEY = "The key is not valid; please ask for another one"
WRONG_PASSWORD = "The password is not correct"  # noqa: S105 - a message
WRONG_RESET_KEY = "Password codes do not match. Please try resetting your password again"


def check_name(name: str) -> None:
    """
    Return if ``name`` can be the username or email of an account that is looked up.

    Raises:
        InvalidValue: If it is empty, or neither.
    """
    if not name:
        raise InvalidValue(INVALID_NAME)
    if not is_username(name) and not is_email(name):
        raise InvalidValue(INVALID_NAME_CHARACTERS)


def check_password_given(password: str) -> None:
    """Raises :class:`InvalidValue` for an empty password at a login; more is not told before it was verified."""
    if not password:
        raise InvalidValue("Please enter a valid password")


def check_new_name(username: str) -> None:
    """
    Return if ``username`` can be the name of an account to be registered.

    Raises:
        InvalidValue: If it is empty, or not of letters and digits; an email is no name.
    """
    check_name(username)
    if not is_username(username):
        raise InvalidValue(INVALID_NAME_CHARACTERS)


def check_registration(passwords: PasswordService, *, email: str, password: str) -> None:
    """
    Return if an account with this email and password may be registered; the original's order again.

    Raises:
        InvalidValue: For the first rule that is broken.
    """
    if not password:
        raise InvalidValue("Password cannot be null or empty")
    passwords.check(password)
    check_email(email)


def check_email(email: str) -> None:
    """Raises :class:`InvalidValue` for an empty or malformed address of an account's owner."""
    if not email:
        raise InvalidValue("Email cannot be null or empty")
    if not is_email(email):
        raise InvalidValue("Please use a valid email address")


def check_new_account(passwords: PasswordService, *, username: str, email: str, password: str, privileges: int) -> None:
    """
    Return if an admin may create this account; the first rule that is broken, in the original's order, is the answer.

    Raises:
        PermissionDenied: For a super admin, before all else.
        InvalidValue: For any other broken rule.
    """
    if privileges == Privilege.SUPER_ADMIN:
        raise PermissionDenied(CANNOT_CREATE_SUPER)
    if not username:
        raise InvalidValue("Username cannot be empty")
    if not is_username(username):
        raise InvalidValue("Username must be alphanumeric")
    if not email:
        raise InvalidValue("Email cannot be empty")
    if not is_email(email):
        raise InvalidValue("Email must be valid")
    if not password:
        raise InvalidValue("Password cannot be empty")
    passwords.check(password)
    if privileges not in (Privilege.ADMIN, Privilege.REGULAR):
        raise InvalidValue("Privilege type is unrecognised")
