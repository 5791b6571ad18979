"""``import …``: another server's accounts and all that belongs to them."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import click
import orjson

from users_server.cli.edge import config_option, read_config
from users_server.config import Config
from users_server.core.messages import JSON
from users_server.errors import StartupError
from users_server.logs import clean, configure_logging

if TYPE_CHECKING:
    from users_server.app.imports import ImportOptions
    from users_server.services.importing.report import CollectionReport, ImportReport, Write


@click.group("import")
def import_() -> None:
    """Bring the data of another server into the database of the configuration."""


@import_.command()
@config_option
@click.argument("url", envvar="USERS_SERVER_IMPORT_URL")
@click.option("--apply", "is_applied", is_flag=True, help="Write. Without it nothing is changed: a dry run.")
@click.option(
    "--files",
    type=click.Path(path_type=Path, exists=True, file_okay=False),
    help="A folder with the contents of the files, as BUCKET/FILE by their identifiers.",
)
@click.option("--no-sessions", is_flag=True, help="Leave the logins out; everybody must log in again.")
@click.option("--from-start", is_flag=True, help="Look at all records again, also at those of earlier runs.")
@click.option(
    "--report",
    "report_path",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Add a line of JSON to this file for each record that is not imported as it is.",
)
def webinate(
    config_path: Path | None,
    url: str,
    is_applied: bool,
    files: Path | None,
    no_sessions: bool,
    from_start: bool,
    report_path: Path | None,
) -> None:
    """
    Import the database of the original server at URL, which must name it. It is only read.

    First comes a dry run, which tells what would be imported and what would not. Begin with an empty database, before
    the first start of the server. An import that was ended is gone on with by the same command. A URL with a password
    is better set as USERS_SERVER_IMPORT_URL than given as an argument, which others on this machine can see.

    \b
    Examples:
      users-server import webinate mongodb://localhost/users
      users-server import webinate mongodb://localhost/users --apply --report skipped.jsonl
      users-server import webinate mongodb://localhost/users --apply --files copy-of-the-storage
    """
    from users_server.app.imports import ImportOptions  # here, so that other commands start at once

    config = read_config(config_path)
    configure_logging("error", config.logging.format)
    with _lines_to(report_path) as write:
        options = ImportOptions(is_applied, files, not no_sessions, from_start, write)
        report = asyncio.run(_import(config, url, options))
    for line in describe(report):
        click.echo(line)
    click.echo("Imported." if is_applied else "Nothing was changed. With --apply this is imported.")


async def _import(config: Config, url: str, options: ImportOptions) -> ImportReport:
    from users_server.app.imports import open_webinate_import

    async with open_webinate_import(config, url, options) as opened:
        done = sum(collection.read for collection in opened.report.collections.values())
        label = "Importing" if options.is_applied else "Dry run"
        with click.progressbar(length=max(opened.total, done), label=label, file=sys.stderr) as bar:
            bar.update(done)
            await opened.importer.run(lambda _collection, count: bar.update(count))
        return opened.report


@contextlib.contextmanager
def _lines_to(path: Path | None) -> Iterator[Write]:
    """What adds a line to the file at ``path``, each at once, so that it is there whatever happens next."""
    if path is None:
        yield lambda _line: None
        return
    try:
        file = path.open("ab", buffering=0)
    except OSError as error:
        raise StartupError(f"Cannot write {path}: {error.strerror}") from error
    with file:

        def write(line: Mapping[str, JSON]) -> None:
            file.write(orjson.dumps(dict(line)) + b"\n")

        yield write


def describe(report: ImportReport) -> Iterator[str]:
    """The report for people."""
    yield f"{'':<12}{'read':>9}{'imported':>10}{'present':>9}{'skipped':>9}{'conflicts':>11}"
    for name, collection in report.collections.items():
        skipped, conflicts = sum(collection.skipped.values()), sum(collection.conflicts.values())
        yield (
            f"{name:<12}{collection.read:>9}{collection.imported:>10}{collection.present:>9}{skipped:>9}{conflicts:>11}"
        )
    for name, collection in report.collections.items():
        yield from _reasons(name, collection)


def _reasons(name: str, collection: CollectionReport) -> Iterator[str]:
    for kind, reasons in (
        ("skipped", collection.skipped),
        ("conflict", collection.conflicts),
        ("changed", collection.changed),
    ):
        for reason, count in sorted(reasons.items()):
            yield f"{name}: {count} {kind}: {clean(reason)}"
