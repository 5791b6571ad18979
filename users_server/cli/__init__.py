"""The command ``users-server``."""

from __future__ import annotations

import click

from users_server import __version__
from users_server.cli.apps import app
from users_server.cli.catalogue import events
from users_server.cli.channels import publish, watch
from users_server.cli.check import check_config
from users_server.cli.definitions import definitions
from users_server.cli.edge import Commands
from users_server.cli.imports import import_
from users_server.cli.remote import emit, listen
from users_server.cli.serve import serve
from users_server.cli.tokens import token
from users_server.cli.top import top
from users_server.cli.users import user
from users_server.cli.webhooks import webhook

__all__ = ["main"]


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--debug", is_flag=True, envvar="USERS_SERVER_DEBUG", help="Show the traceback of an error.")
@click.version_option(__version__, prog_name="users-server")
def main(debug: bool) -> None:
    """
    Accounts and realtime events in one self-hosted server.

    \b
    Begin with:
      cp config.example.json config.json
      users-server serve
      users-server listen

    Exit codes: 0 all is well, 1 something failed, 2 the configuration or the command line is wrong.
    """


for command in (
    serve,
    check_config,
    user,
    app,
    webhook,
    token,
    events,
    emit,
    listen,
    publish,
    watch,
    top,
    import_,
    definitions,
):
    main.add_command(command)
