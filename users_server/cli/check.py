"""``check-config``: what the configuration means, without starting anything."""

from __future__ import annotations

import json
from pathlib import Path

import click

from users_server.cli.edge import FAILED, config_option, read_config
from users_server.cli.origins import warnings
from users_server.config import Config, effective_config
from users_server.logs import clean
from users_server.services.origins import OriginPolicy


@click.command("check-config")
@config_option
@click.option("--origin", metavar="URL", help="Say which pattern approves this origin; exit code 1 if none does.")
def check_config(config_path: Path | None, origin: str | None) -> None:
    """
    Check the configuration and print it.

    It is printed as it is in effect, with the environment's overrides and with secrets masked. Warnings go to standard
    error. Nothing is started; no port and no database is touched.

    \b
    Examples:
      users-server check-config
      users-server check-config --origin https://www.example.com
    """
    config = read_config(config_path)
    if origin is not None:
        _tell_match(config, origin)
        return
    click.echo(json.dumps(effective_config(config), indent=2, ensure_ascii=False))
    for line in warnings(config):
        click.echo(f"Warning: {line}", err=True)


def _tell_match(config: Config, origin: str) -> None:
    match = OriginPolicy(config.websocket.approved_socket_domains).first_match(origin)
    http_match = OriginPolicy(config.http.approved_domains).first_match(origin)
    for path, pattern in (("websocket.approvedSocketDomains", match), ("http.approvedDomains", http_match)):
        click.echo(f"{path}: " + (f"no pattern matches {clean(origin)}" if pattern is None else f'"{pattern}" matches'))
    if match is None:
        raise click.exceptions.Exit(FAILED)
