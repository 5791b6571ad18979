"""``definitions``: write or check the generated files."""

from __future__ import annotations

from pathlib import Path

import click

from users_server.errors import StartupError

DEFAULT_FOLDER = Path("definitions")


@click.command()
@click.option("--check", is_flag=True, help="Change nothing; exit code 1 if a file differs from what would be written.")
@click.option(
    "--output",
    type=click.Path(path_type=Path, file_okay=False),
    help="Another folder, for the definitions alone.  [default: definitions]",
)
def definitions(check: bool, output: Path | None) -> None:
    """
    Write or check the generated files.

    JSON Schema, AsyncAPI, OpenAPI and TypeScript, made from the schemas and the event table; and, beside their folder,
    config.example.json and docs/configuration.md.

    \b
    Examples:
      users-server definitions
      users-server definitions --check
      users-server definitions --output web/src/generated
    """
    files = _files(output)
    stale = [path for path, content in files.items() if not _holds(path, content)]
    if check and stale:
        names = ", ".join(str(path) for path in stale)
        raise StartupError(
            f"Not as the schemas have it: {names}. Write anew: users-server definitions{_option(output)}"
        )
    for path in stale:
        _write(path, files[path])
        click.echo(f"Wrote {path}")
    click.echo(f"{len(files)} files are up to date")


def _option(output: Path | None) -> str:
    return "" if output is None else f" --output {output}"


def _files(output: Path | None) -> dict[Path, bytes]:
    try:
        from users_server.definitions import generate, generated_files  # here, because apispec is an extra
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "apispec":
            raise
        raise StartupError(str(error)) from error
    if output is None:
        return generated_files(DEFAULT_FOLDER)
    return {output / name: content for name, content in generate().items()}


def _holds(path: Path, content: bytes) -> bool:
    try:
        return path.read_bytes() == content
    except OSError:
        return False


def _write(path: Path, content: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    except OSError as error:
        raise StartupError(f"Cannot write {path}: {error.strerror}") from error
