from __future__ import annotations

import pytest
import re2
from hypothesis import given, settings
from hypothesis import strategies as st

from users_server.errors import ConfigError
from users_server.services.origins import InvalidPattern, OriginPolicy

SEED = [
    "localhost",
    r"^ws://www.webinate.net:123$",
    r"^webinate\.net:80$",
    r"^example\.com$",
    r"^.+\.example\.com$",
    r"^example\.org",
    r"^.+\.example\.org",
]


@pytest.mark.parametrize(
    ("origin", "pattern"),
    [
        ("http://localhost:3000", "localhost"),
        ("http://localhost.evil.example", "localhost"),
        ("ws://www.webinate.net:123", SEED[1]),
        ("example.com", SEED[3]),
        ("a.b.example.com", SEED[4]),
        ("example.org.evil.example", SEED[5]),
    ],
)
def test_a_pattern_is_searched_as_in_the_seed(origin: str, pattern: str) -> None:
    policy = OriginPolicy(SEED)
    assert policy.first_match(origin) == pattern
    assert policy.approves(origin)


@pytest.mark.parametrize(
    "origin", [None, "", "null", "example.com.evil", "xexample.com", "EXAMPLE.COM", "example.com\n", "\ud800localhost"]
)
def test_other_origins_are_not_approved(origin: str | None) -> None:
    assert not OriginPolicy(SEED).approves(origin)


def test_without_patterns_nothing_is_approved() -> None:
    assert not OriginPolicy([]).approves("http://localhost")


def test_no_pattern_can_hang_the_server() -> None:
    policy = OriginPolicy(["^(a+)+$", "^(a|aa|a?)*b$", "(.*)*x$"])
    assert not policy.approves("a" * 200_000 + "!")


@pytest.mark.parametrize("pattern", ["(", "a(?=b)", "(a)\\1", "[", "\\", "a{1001}", "\ud800"])
def test_a_bad_pattern_is_refused_with_its_place(pattern: str) -> None:
    with pytest.raises(InvalidPattern) as caught:
        OriginPolicy(["fine", pattern])
    assert isinstance(caught.value, ConfigError)
    assert caught.value.path == "[1]"
    assert caught.value.message.startswith("[1]: a regular expression that RE2 can run (")


def test_a_bad_pattern_prints_nothing(capfd: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(InvalidPattern):
        OriginPolicy(["("])
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "pattern",
    [
        "a$",
        r"a\z",
        "^(a|b)$",
        "^a$|^b$",
        "(a$|b$)",
        "^(https?://(a|b)$)",
        "[)(]$",
        r"\Q|\E$",
        "[]|]$",
        "[^]|]$",
        r"[\]|]$",
        "[[:alpha:]|]$",
    ],
)
def test_anchored_patterns(pattern: str) -> None:
    assert OriginPolicy([pattern]).unanchored() == []


@pytest.mark.parametrize(
    "pattern",
    [
        "",
        "localhost",
        "^example",
        r"a\$",
        "[$]",
        "a$|b",
        "b|a$",
        "(a$|b)",
        "(b|a$)",
        "(a|b$)c",
        r"\Qa$\E",
        r"\Qa$",
        "a$?",
        "a$*",
        "(a$)?",
        r"a\\z",
        "[a[:digit:]$]",
        "[]$]",
        "[^]$]",
        r"[\]$]",
    ],
)
def test_unanchored_patterns_are_listed_as_written(pattern: str) -> None:
    assert OriginPolicy([pattern, "x$"]).unanchored() == [pattern]


@settings(deadline=None)
@given(st.text(alphabet="a$|()[]\\^:QEz?*+.-", max_size=20))
def test_a_pattern_that_lets_something_follow_is_always_listed(pattern: str) -> None:
    options = re2.Options()
    options.log_errors = False
    try:
        listed = OriginPolicy([pattern]).unanchored()
        followed = re2.compile(f"(?:{pattern})!", options)
    except (InvalidPattern, re2.error):
        return
    if any(followed.search(f"{text}!") for text in ("", "a", "aa", "|", "(Q)", "E:z", "\\-^.")):
        assert listed == [pattern]
