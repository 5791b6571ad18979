"""Where another node has stopped handling what this one has heard, too."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from users_server.backends.redis.alignment import handled_of


def letters(text: str) -> list[bytes]:
    return [letter.encode() for letter in text]


@pytest.mark.parametrize(
    ("heard", "handled", "expected"),
    [
        ("", "", 0),
        ("abc", "", 0),
        ("", "abc", 0),
        ("abc", "abc", 3),
        ("cde", "abc", 1),
        ("cde", "abcd", 2),
        ("bcxxx", "abcx", 3),  # equal ones are told apart by those before them
        ("xxx", "abx", 1),  # where that is not enough, rather twice than not at all
        ("abd", "abc", 2),  # c was not heard
        ("abd", "abcx", 2),
        ("def", "abc", 0),
    ],
)
def test_examples(heard: str, handled: str, expected: int) -> None:
    assert handled_of(letters(heard), letters(handled)) == expected


@given(st.lists(st.binary(min_size=1, max_size=1), max_size=40, unique=True), st.data())
def test_what_was_handled_is_found_when_all_is_different(messages: list[bytes], data: st.DataObject) -> None:
    done = data.draw(st.integers(0, len(messages)))
    heard_from = data.draw(st.integers(0, done))
    forgotten = data.draw(st.integers(0, done))
    expected = done - heard_from if forgotten < done else 0
    assert handled_of(messages[heard_from:], messages[forgotten:done]) == expected
