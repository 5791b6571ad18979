"""``token create``: a JWT, signed with a key of the configuration."""

from __future__ import annotations

from pathlib import Path

import click

from users_server.cli.edge import config_option, read_config
from users_server.core.clock import SystemClock
from users_server.services.tokens import EMIT_SCOPE, TokenService


@click.group()
def token() -> None:
    """JSON Web Tokens for users and services."""


@token.command()
@config_option
@click.option("--subject", required=True, help="A username, or the name of a service.")
@click.option("--scope", "scopes", multiple=True, help=f"What it allows, for instance {EMIT_SCOPE}; may be repeated.")
@click.option("--lifetime", type=click.IntRange(min=1), help="Seconds; by default tokens.lifetimeSeconds.")
@click.option("--key", "key_id", help="The kid of the key that signs; by default the first that can.")
def create(
    config_path: Path | None, subject: str, scopes: tuple[str, ...], lifetime: int | None, key_id: str | None
) -> None:
    """
    Make a token and print it.

    Whoever holds it is SUBJECT until it expires; it cannot be taken back but by removing its key.

    \b
    Examples:
      users-server token create --subject ann --lifetime 600
      users-server token create --subject mailer --scope events:emit
    """
    service = TokenService(read_config(config_path).tokens, SystemClock())
    click.echo(service.issue(subject, scopes=scopes, lifetime_seconds=lifetime, key_id=key_id))
