"""``user …``: accounts, directly in the configured store."""

from __future__ import annotations

import datetime
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from users_server.cli.database import OPERATOR, with_database
from users_server.cli.edge import config_option
from users_server.core.accounts import Privilege, User
from users_server.logs import clean
from users_server.services.users import UserService

if TYPE_CHECKING:
    from users_server.app import Services

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PAGE = 100
LONGEST_LINE = 4096

_PRIVILEGES = {"admin": Privilege.ADMIN, "regular": Privilege.REGULAR}


@click.group()
def user() -> None:
    """
    Accounts, in the database of the configuration.

    The commands work whether the server runs or not. A server that runs beside them sees the change at once in what it
    reads from the database. With Redis (broker.url) it also closes the sockets of an account that was removed or has a
    new password, and tells all others; without Redis its sockets are told nothing.
    """


def password_option(command: F) -> F:
    return click.option(
        "--password-stdin", is_flag=True, help="Read the password from the first line of standard input."
    )(command)


def read_password(from_stdin: bool) -> str:
    """A new password: typed twice without echo, or read from a pipe. Never an argument, which others could see."""
    if from_stdin:
        password = sys.stdin.readline(LONGEST_LINE).rstrip("\r\n")
    else:
        password = click.prompt("Password", hide_input=True, confirmation_prompt=True)
    if not password:
        raise click.UsageError("The password is empty")
    return str(password)


def with_users(config_path: Path | None, work: Callable[[UserService], Awaitable[T]]) -> T:
    """What ``work`` returns for the user service of the configuration, over a store that is open meanwhile."""

    async def with_services(services: Services) -> T:
        return await work(services.users)

    return with_database(config_path, with_services)


@user.command()
@config_option
@click.argument("username")
@click.argument("email")
@click.option("--privileges", type=click.Choice(list(_PRIVILEGES)), default="regular", show_default=True)
@password_option
def create(config_path: Path | None, username: str, email: str, privileges: str, password_stdin: bool) -> None:
    """
    Create an account, active from the start.

    \b
    Examples:
      users-server user create ann ann@example.com
      users-server user create root root@example.com --privileges admin
      pass show ann | users-server user create ann ann@example.com --password-stdin
    """
    password = read_password(password_stdin)

    async def work(users: UserService) -> User:
        return await users.create(
            OPERATOR, username=username, email=email, password=password, privileges=_PRIVILEGES[privileges]
        )

    click.echo(f"Created {with_users(config_path, work).username}")


@user.command()
@config_option
@click.argument("name")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(config_path: Path | None, name: str, yes: bool) -> None:
    """
    Remove the account NAME, a username or an email, and its sessions.

    \b
    Example:
      users-server user remove ann
    """
    if not yes:
        click.confirm(f"Remove {clean(name)} and all that belongs to it?", abort=True)

    async def work(users: UserService) -> User:
        return await users.remove(OPERATOR, name)

    click.echo(f"Removed {with_users(config_path, work).username}")


@user.command()
@config_option
@click.argument("name")
@password_option
def passwd(config_path: Path | None, name: str, password_stdin: bool) -> None:
    """
    Set the password of NAME and end its sessions.

    \b
    Example:
      users-server user passwd ann
    """
    password = read_password(password_stdin)

    async def work(users: UserService) -> None:
        await users.set_password(name, password)

    with_users(config_path, work)
    click.echo(f"Set the password of {clean(name)}")


@user.command()
@config_option
@click.argument("name")
def activate(config_path: Path | None, name: str) -> None:
    """
    Activate the account NAME without its key.

    \b
    Example:
      users-server user activate ann
    """

    async def work(users: UserService) -> User:
        return await users.approve_activation(OPERATOR, name)

    click.echo(f"Activated {with_users(config_path, work).username}")


@user.command("list")
@config_option
@click.option("--search", default="", help="Only those whose username or email contains this.")
@click.option("--json", "is_json", is_flag=True, help="One JSON object a line.")
def list_users(config_path: Path | None, search: str, is_json: bool) -> None:
    """
    List the accounts, oldest first.

    \b
    Examples:
      users-server user list
      users-server user list --search example.com --json
    """

    async def work(users: UserService) -> None:
        async for account in _all(users, search):
            click.echo(orjson.dumps(_entry(account)).decode() if is_json else _row(account))

    with_users(config_path, work)


async def _all(users: UserService, search: str) -> AsyncIterator[User]:
    index = 0
    while True:
        page = await users.list(OPERATOR, index=index, limit=PAGE, search=search)
        for account in page.items:
            yield account
        index += len(page.items)
        if not page.items or index >= page.count:
            return


def _entry(account: User) -> dict[str, Any]:
    return {
        "_id": account.id,
        "username": account.username,
        "email": account.email,
        "privileges": account.privileges,
        "isActive": account.is_active,
        "createdOn": account.created_on,
        "lastLoggedIn": account.last_logged_in,
    }


def _row(account: User) -> str:
    privilege = Privilege(account.privileges).name.lower().replace("_", " ")
    state = "active" if account.is_active else "not activated"
    created = datetime.datetime.fromtimestamp(account.created_on / 1000, datetime.UTC).strftime("%Y-%m-%d")
    return f"{clean(account.username):<20}  {clean(account.email):<32}  {privilege:<11}  {state:<13}  {created}"
