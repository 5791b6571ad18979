"""The edge of the command line: where the configuration comes from, and how an error leaves."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import click

from users_server.config import Config, ConfigErrors, load_config
from users_server.config.source import find_config
from users_server.errors import ConfigError, UsersServerError
from users_server.logs import clean

FAILED = 1
MISCONFIGURED = 2

F = TypeVar("F", bound=Callable[..., Any])


class Commands(click.Group):
    """The group of all commands. An error of ours is a line on standard error and an exit code; others are bugs."""

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except UsersServerError as error:
            if ctx.params.get("debug"):
                raise
            for line in error.message.splitlines():
                click.echo(f"Error: {clean(line)}", err=True)
            ctx.exit(MISCONFIGURED if isinstance(error, ConfigError) else FAILED)


def config_option(command: F) -> F:
    """The option that every command has which reads the configuration."""
    return click.option(
        "--config",
        "-c",
        "config_path",
        type=click.Path(path_type=Path),
        help="The configuration; by default what USERS_SERVER_CONFIG names, else ./config.json.",
    )(command)


def read_config(path: Path | None) -> Config:
    """
    The configuration, from the file and from this process's environment.

    Raises:
        ConfigErrors: With the file's name before each mistake.
    """
    try:
        return load_config(path, os.environ)
    except ConfigErrors as error:
        name = _name(path)
        if name is None:
            raise
        mistakes = [ConfigError("", f"{name}: {mistake.message}") for mistake in error.mistakes]
        raise ConfigErrors(mistakes) from error


def _name(path: Path | None) -> str | None:
    try:
        return str(find_config(path, os.environ))
    except ConfigError:
        return None
