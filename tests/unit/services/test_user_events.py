from __future__ import annotations

import pytest
from structlog.testing import capture_logs

from tests.unit.services.doubles import RecordingNode
from users_server.services.user_events import UserEventPublisher


@pytest.mark.gen_test
async def test_each_event_carries_the_username(node: RecordingNode) -> None:
    events = UserEventPublisher(node)
    await events.login("bob")
    await events.logout("bob")
    await events.activated("bob")
    await events.removed("bob")
    assert node.record == [("Login", "bob"), ("Logout", "bob"), ("Activated", "bob"), ("Removed", "bob")]


@pytest.mark.gen_test
async def test_a_broker_that_is_away_is_logged_and_no_error(node: RecordingNode) -> None:
    node.is_away = True
    with capture_logs() as logs:
        await UserEventPublisher(node).login("bob")
    assert logs == [
        {
            "event": "event not published",
            "log_level": "warning",
            "published_event": "Login",
            "username": "bob",
            "reason": "broker_unavailable",
        }
    ]
