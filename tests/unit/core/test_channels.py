"""Names and rules of channels."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_server.core import channels
from users_server.core.channels import ChannelLimits, ChannelRule, ChannelRules, check_name, matches
from users_server.core.messages import HistoryRule
from users_server.errors import InvalidValue


@pytest.mark.parametrize("name", ["a", "chat:room1", "private-x", "日本", "a b", "*", "x" * 200])
def test_names_that_are_some(name: str) -> None:
    check_name(name, ChannelLimits())


@pytest.mark.parametrize("name", ["", " a", "a ", "a\n", "\x00", "a\x7f", "\ud800", "x" * 201, "é" * 101, "a\u2028b"])
def test_names_that_are_none(name: str) -> None:
    with pytest.raises(InvalidValue):
        check_name(name, ChannelLimits())


@given(st.text("ab*", max_size=6), st.text("ab", max_size=8))
def test_a_pattern_is_a_regex_of_stars(pattern: str, name: str) -> None:
    regex = ".*".join(map(re.escape, pattern.split("*")))
    assert matches(pattern, name) == (re.fullmatch(regex, name) is not None)


def test_the_first_rule_that_matches_and_that_of_the_app() -> None:
    kept = HistoryRule(1, 1.0)
    rules = ChannelRules([ChannelRule("chat:*", app="one", history=kept), ChannelRule("chat:*", presence=True)])
    assert rules.of("one", "chat:x").history == kept
    assert rules.of("two", "chat:x") == ChannelRule("chat:*", presence=True)
    assert rules.of("one", "news") == ChannelRule()


def test_rules_are_remembered_up_to_a_number(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(channels, "MAX_REMEMBERED", 3)
    rules = ChannelRules([ChannelRule("a*", presence=True)])
    for number in range(10):
        assert rules.of("app", f"a{number}").presence
        assert len(rules._remembered) <= 3
