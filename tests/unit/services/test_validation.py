from __future__ import annotations

import pytest

from users_server.services.validation import is_email, is_username, loggable


@pytest.mark.parametrize("text", ["a", "Bob7", "0", "x" * 254])
def test_a_username_is_letters_and_digits(text: str) -> None:
    assert is_username(text)


@pytest.mark.parametrize(
    "text", ["", " ", "a b", "a\n", "bob!", "bób", "٣", "a" * 255, "bob@example.com", "a_b", "\ud800"]
)
def test_nothing_else_is_a_username(text: str) -> None:
    assert not is_username(text)


@pytest.mark.parametrize(
    "text",
    ["a@b.c", "Bob.Smith+tag@mail.example.co.uk", "admin@localhost.localdomain", "o'neill@example.com", "1@2.3"],
)
def test_addresses_that_people_have(text: str) -> None:
    assert is_email(text)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "bob",
        "@",
        "@example.com",
        "bob@",
        "bob@example",
        "bob@.com",
        "bob@example.",
        "bob@exa..com",
        "bob@-example.com",
        "bob@example-.com",
        "a b@example.com",
        ".bob@example.com",
        "bob.@example.com",
        "bo..b@example.com",
        "bob@exam_ple.com",
        "bob@example.com\n",
        "bób@example.com",
        "bob@exämple.com",
        "a@b@example.com",
        '"a b"@example.com',
        "<b>@example.com",
        "x" * 65 + "@example.com",
        "bob@" + "x" * 64 + ".com",
        "bob@" + "x." * 130 + "com",
    ],
)
def test_other_texts_are_no_address(text: str) -> None:
    assert not is_email(text)


def test_a_logged_text_is_one_bounded_printable_line() -> None:
    assert loggable("bob\r\nfake line\x1b[31m") == "bob??fake line?[31m"
    assert loggable("ü\u202e\ud800") == "???"
    assert len(loggable("x" * 10_000)) == 64
