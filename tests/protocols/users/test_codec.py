"""Events to frames: what can be told by one message alone."""

from __future__ import annotations

import json

import pytest

from users_server.errors import InvalidPayload
from users_server.protocols.users import codec


def test_the_errors_of_a_list_are_told_by_index() -> None:
    _, load = codec.find_event(5)
    with pytest.raises(InvalidPayload) as caught:
        load({"username": "ann", "files": [{"name": 1}]})

    event = json.loads(codec.encode_event("Error", codec.error_data(caught.value, 5)))

    assert event["received"] == 5
    assert event["errors"]["files"]["0"]["name"] == ["Not a valid string."]
