"""``app …``: apps, directly in the configured store."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click
import orjson

from users_server.cli.database import OPERATOR, with_database
from users_server.cli.edge import config_option
from users_server.core.apps import App, AppLimits
from users_server.logs import clean
from users_server.schemas.settings import camel_case
from users_server.services.app_rules import AppDraft
from users_server.services.apps import AppService, NewApp

if TYPE_CHECKING:
    from users_server.app import Services

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])

PAGE = 100

json_option = click.option("--json", "is_json", is_flag=True, help="As one line of JSON.")


@click.group()
def app() -> None:
    """
    Apps: tenants with keys, channels and limits of their own.

    The commands work on the database of the configuration, whether the server runs or not. Servers that run learn of a
    change at once with Redis (broker.url), else within half a minute; over HTTP (/apps) it is always at once.
    """


def with_apps(config_path: Path | None, work: Callable[[AppService], Awaitable[T]]) -> T:
    """What ``work`` returns for the app service of the configuration."""

    async def with_services(services: Services) -> T:
        return await work(services.apps)

    return with_database(config_path, with_services)


def _limit_options(command: F) -> F:
    for option in (
        click.option("--connections", type=click.IntRange(min=0), default=0, help="Connections on one node."),
        click.option("--channels", type=click.IntRange(min=0), default=0, help="Channels in use on one node."),
        click.option("--message-bytes", type=click.IntRange(min=0), default=0, help="Size of one publication's data."),
        click.option("--publishes", type=click.FloatRange(min=0), default=0, help="Publications a second, a node."),
    ):
        command = option(command)
    return command


@app.command()
@config_option
@click.argument("name")
@click.option("--id", "app_id", help="The app's id; by default an unused number.")
@click.option("--owner", help="The account that owns it, a username or an email; by default the operator.")
@click.option(
    "--protocol", "protocols", multiple=True, help="A protocol that serves it; may be repeated. By default all."
)
@click.option("--origin", "origins", multiple=True, help="A pattern of approved origins; may be repeated.")
@click.option("--webhook", default="", help="The URL that is told of what happens in its channels.")
@click.option("--debug-signatures", is_flag=True, help="Log refused signatures with the text that should be signed.")
@_limit_options
@json_option
def create(
    config_path: Path | None,
    name: str,
    app_id: str | None,
    owner: str | None,
    protocols: tuple[str, ...],
    origins: tuple[str, ...],
    webhook: str,
    debug_signatures: bool,
    is_json: bool,
    **limits: Any,
) -> None:
    """
    Make an app called NAME, and print its keys. They are shown this once only.

    Limits of 0, the default, are none.

    \b
    Examples:
      users-server app create Shop
      users-server app create Shop --id shop --owner ann --protocol users
      users-server app create Shop --connections 1000 --publishes 50 --json
    """
    draft = AppDraft(
        name=name,
        webhook_endpoint=webhook,
        protocols=protocols,
        allowed_origins=origins,
        debug_signatures=debug_signatures,
        limits=AppLimits(
            limits["connections"], limits["channels"], limits["message_bytes"], publishes_per_second=limits["publishes"]
        ),
    )

    async def work(services: Services) -> NewApp:
        owner_id = None
        if owner is not None:
            owner_id = (await services.users.get(OPERATOR, owner)).id
        return await services.apps.create(OPERATOR, draft, app_id=app_id, owner_id=owner_id)

    _print_new(with_database(config_path, work), is_json)


@app.command("list")
@config_option
@json_option
def list_apps(config_path: Path | None, is_json: bool) -> None:
    """
    List the apps, oldest first.

    \b
    Examples:
      users-server app list
      users-server app list --json | jq .id
    """

    async def work(apps: AppService) -> None:
        async for found in _all(apps):
            click.echo(orjson.dumps(_entry(found)).decode() if is_json else _row(found))

    with_apps(config_path, work)


@app.command()
@config_option
@click.argument("app_id", metavar="APP")
@json_option
def show(config_path: Path | None, app_id: str, is_json: bool) -> None:
    """
    Show the app whose id is APP. Secrets and API keys are not shown; nobody has them any more.

    \b
    Example:
      users-server app show default
    """

    async def work(apps: AppService) -> App:
        return await apps.show(OPERATOR, app_id)

    found = with_apps(config_path, work)
    _print(_entry(found), is_json)


@app.command()
@config_option
@click.argument("app_id", metavar="APP")
@click.option("--name", help="Its name, for people.")
@click.option("--webhook", help="The URL that is told of what happens in its channels; an empty one for none.")
@click.option("--on/--off", "is_enabled", default=None, help="Whether it is served; --off closes its connections.")
@click.option(
    "--debug-signatures/--no-debug-signatures",
    default=None,
    help="Whether refused signatures are logged with the text that should be signed.",
)
@json_option
def change(
    config_path: Path | None,
    app_id: str,
    name: str | None,
    webhook: str | None,
    is_enabled: bool | None,
    debug_signatures: bool | None,
    is_json: bool,
) -> None:
    """
    Change the app whose id is APP, and show it. What is not named stays.

    \b
    Examples:
      users-server app change shop --debug-signatures
      users-server app change shop --off
    """
    draft = AppDraft(name=name, webhook_endpoint=webhook, is_enabled=is_enabled, debug_signatures=debug_signatures)
    if draft == AppDraft():
        raise click.UsageError("Name something to change, such as --name")

    async def work(apps: AppService) -> App:
        return await apps.change(OPERATOR, app_id, draft)

    _print(_entry(with_apps(config_path, work)), is_json)


@app.command()
@config_option
@click.argument("app_id", metavar="APP")
@json_option
def rotate(config_path: Path | None, app_id: str, is_json: bool) -> None:
    """
    Make new keys for APP, and print them. They are shown this once only.

    The former keys stay good until "app retire", or until the next rotation.

    \b
    Example:
      users-server app rotate default
    """

    async def work(apps: AppService) -> NewApp:
        return await apps.rotate(OPERATOR, app_id)

    _print_new(with_apps(config_path, work), is_json)


@app.command()
@config_option
@click.argument("app_id", metavar="APP")
def retire(config_path: Path | None, app_id: str) -> None:
    """
    End all keys of APP but the newest.

    \b
    Example:
      users-server app retire default
    """

    async def work(apps: AppService) -> App:
        return await apps.retire_old(OPERATOR, app_id)

    click.echo(f"The only key of {clean(app_id)} is {with_apps(config_path, work).credentials[0].key}")


@app.command()
@config_option
@click.argument("app_id", metavar="APP")
@click.option("--yes", is_flag=True, help="Do not ask.")
def remove(config_path: Path | None, app_id: str, yes: bool) -> None:
    """
    Remove APP; its clients are disconnected.

    \b
    Example:
      users-server app remove 123456789
    """
    if not yes:
        click.confirm(f"Remove the app {clean(app_id)}, its keys and its channels?", abort=True)

    async def work(apps: AppService) -> App:
        return await apps.remove(OPERATOR, app_id)

    click.echo(f"Removed {clean(with_apps(config_path, work).name)}")


async def _all(apps: AppService) -> AsyncIterator[App]:
    index = 0
    while True:
        page = await apps.list(OPERATOR, index=index, limit=PAGE)
        for found in page.items:
            yield found
        index += len(page.items)
        if not page.items or index >= page.count:
            return


def _entry(found: App) -> dict[str, Any]:
    return {
        "id": found.id,
        "name": found.name,
        "owner": found.owner_id,
        "isEnabled": found.is_enabled,
        "createdOn": found.created_on,
        "keys": [{"key": one.key, "createdOn": one.created_on} for one in found.credentials],
        "protocols": list(found.protocols),
        "allowedOrigins": list(found.allowed_origins),
        "webhookEndpoint": found.webhook_endpoint,
        "debugSignatures": found.debug_signatures,
        "limits": {camel_case(name): value for name, value in dataclasses.asdict(found.limits).items()},
    }


def _row(found: App) -> str:
    created = datetime.datetime.fromtimestamp(found.created_on / 1000, datetime.UTC).strftime("%Y-%m-%d")
    state = "on" if found.is_enabled else "off"
    keys = " ".join(one.key for one in found.credentials)
    return f"{clean(found.id):<20}  {clean(found.name):<32}  {state:<3}  {created}  {keys}"


def _print_new(new: NewApp, is_json: bool) -> None:
    secrets = {"key": new.key, "secret": new.secret, "apiKey": new.api_key}
    if new.webhook_key:
        secrets["webhookKey"] = new.webhook_key
    _print({"id": new.app.id, "name": new.app.name, **secrets}, is_json)
    if not is_json:
        click.echo("Keep them; they are shown only this once.", err=True)


def _print(entry: dict[str, Any], is_json: bool) -> None:
    if is_json:
        click.echo(orjson.dumps(entry).decode())
        return
    for name, value in entry.items():
        text = value if isinstance(value, str) else orjson.dumps(value).decode()
        click.echo(f"{name + ':':<16} {clean(text)}".rstrip())
