"""``webhook …``: deliveries of web hooks, directly in the configured store."""

from __future__ import annotations

import datetime
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import orjson

from users_server.cli.apps import json_option
from users_server.cli.database import OPERATOR, with_database
from users_server.cli.edge import config_option
from users_server.core.outbox import Delivery
from users_server.logs import clean

if TYPE_CHECKING:
    from users_server.app import Services

PAGE = 500


@click.group()
def webhook() -> None:
    """
    Web hooks: calls of the endpoints of apps that wait, or that were given up.

    The commands work on the database of the configuration, whether the server runs or not.
    """


@webhook.command("list")
@config_option
@click.option("--app", "app_id", metavar="APP", help="Of this app alone, by its id.")
@click.option("--dead", "is_dead", is_flag=True, help="Those that were given up, instead of those that wait.")
@json_option
def list_deliveries(config_path: Path | None, app_id: str | None, is_dead: bool, is_json: bool) -> None:
    """
    List the web hooks that wait to be sent, the oldest first; with --dead those that were given up.

    A line has the id, the app, the channel, since when it is owed, how often it was tried, and why that failed.

    \b
    Examples:
      users-server webhook list
      users-server webhook list --app shop --dead
      users-server webhook list --dead --json | jq .id
    """

    async def work(services: Services) -> None:
        async for found in _all(services, app_id, is_dead):
            click.echo(orjson.dumps(_entry(found)).decode() if is_json else _row(found))

    with_database(config_path, work)


@webhook.command()
@config_option
@click.argument("app_id", metavar="APP")
@click.argument("ids", metavar="[ID]...", nargs=-1)
@click.option("--all", "is_all", is_flag=True, help="All of the app that were given up.")
def replay(config_path: Path | None, app_id: str, ids: tuple[str, ...], is_all: bool) -> None:
    """
    Send web hooks of APP again that were given up: those with these IDs, or all.

    They go behind what waits in their channels, and are tried for as long as new ones. Servers that run begin within
    a second.

    \b
    Examples:
      users-server webhook replay shop --all
      users-server webhook replay shop 6b7d0f0c1a4e4b0f9f0f6f5f8a2d1c3b-end
    """
    if bool(ids) == is_all:
        raise click.UsageError("Name the ids of web hooks, or --all")

    async def work(services: Services) -> int:
        return await services.webhook_deliveries.replay(OPERATOR, app_id, None if is_all else ids)

    click.echo(f"{with_database(config_path, work)} to be sent again")


async def _all(services: Services, app_id: str | None, is_dead: bool) -> AsyncIterator[Delivery]:
    index = 0
    while True:
        page = await services.webhook_deliveries.list(OPERATOR, app_id, is_dead=is_dead, index=index, limit=PAGE)
        for found in page.items:
            yield found
        index += len(page.items)
        if not page.items or index >= page.count:
            return


def _entry(found: Delivery) -> dict[str, Any]:
    return {
        "id": found.id,
        "app": found.app,
        "channel": found.queue,
        "createdOn": found.created_on,
        "attempts": found.attempts,
        "lastError": found.last_error,
        "diedOn": found.died_on or None,
        "body": orjson.loads(found.body),
    }


def _row(found: Delivery) -> str:
    created = datetime.datetime.fromtimestamp(found.created_on / 1000, datetime.UTC).strftime("%Y-%m-%d %H:%M:%S")
    place = f"{clean(found.app):<20}  {clean(found.queue):<24}"
    return f"{clean(found.id):<36}  {place}  {created}  {found.attempts:>3}  {clean(found.last_error)}".rstrip()
