"""Values of MongoDB as JavaScript writes them."""

from __future__ import annotations

import datetime
from typing import Any

import pytest
from bson import Binary, Decimal128, Int64, ObjectId, Regex

from users_server.backends.mongodb.webinate import to_json


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        (True, True),
        ("text", "text"),
        (Int64(5), 5),
        (5.0, 5),
        (5.5, 5.5),
        (float("nan"), None),
        (float("inf"), None),
        (2**60, float(2**60)),
        (Decimal128("1.5"), 1.5),
        (ObjectId("a" * 24), "a" * 24),
        (datetime.datetime(2017, 7, 14, 2, 40, 0, 123000), "2017-07-14T02:40:00.123Z"),
        ({"a": [1.0, {"b": None}]}, {"a": [1, {"b": None}]}),
    ],
)
def test_to_json(value: Any, expected: Any) -> None:
    found = to_json(value)
    assert found == expected
    assert type(found) is type(expected)


@pytest.mark.parametrize("value", [Binary(b"x"), Regex("x"), [b"x"], {"a": {"b": Regex("x")}}])
def test_what_json_has_no_form_for(value: Any) -> None:
    with pytest.raises(ValueError, match="it holds a value of the type"):
        to_json(value)
