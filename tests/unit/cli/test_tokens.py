"""``token create``."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from click.testing import Result

from tests.server_process import TOKEN_SECRET
from tests.unit.cli.conftest import write_config
from users_server.core.clock import SystemClock
from users_server.services.settings import TokenKey, TokenSettings
from users_server.services.tokens import TokenClaims, TokenService

Run = Callable[..., Result]


def claims(token: str) -> TokenClaims:
    settings = TokenSettings((TokenKey("tests", "HS256", secret=TOKEN_SECRET),))
    return TokenService(settings, SystemClock()).verify(token.strip())


def test_a_token_with_scopes_and_a_lifetime(run: Run) -> None:
    result = run("token", "create", "--subject", "mailer", "--scope", "events:emit", "--scope", "x", "--lifetime", "60")
    made = claims(result.stdout)
    assert result.exit_code == 0
    assert made.subject == "mailer"
    assert made.scopes == {"events:emit", "x"}
    assert made.issued_at is not None
    assert made.expires_at == made.issued_at + 60


def test_the_configured_lifetime_is_the_default(run: Run, folder: Path) -> None:
    keys = [{"kid": "tests", "algorithm": "HS256", "secret": TOKEN_SECRET}]
    write_config(folder, tokens={"keys": keys, "lifetimeSeconds": 77})
    made = claims(run("token", "create", "--subject", "ann").stdout)
    assert made.issued_at is not None
    assert made.expires_at == made.issued_at + 77


def test_without_a_key_it_says_so(run: Run, folder: Path) -> None:
    write_config(folder, tokens={"keys": []})
    result = run("token", "create", "--subject", "ann")
    assert result.exit_code == 1
    assert "no key of tokens.keys can sign" in result.stderr


def test_a_lifetime_must_be_positive(run: Run) -> None:
    assert run("token", "create", "--subject", "ann", "--lifetime", "0").exit_code == 2
