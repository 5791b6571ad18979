"""Which origins each app lets in."""

from __future__ import annotations

import structlog

from users_server.core.apps import App
from users_server.services.app_origins import MOST_REMEMBERED, AppOrigins
from users_server.services.origins import OriginPolicy


def app(*patterns: str) -> App:
    return App("1", "One", (), created_on=0, allowed_origins=patterns)


def test_an_apps_own_patterns_replace_the_configured_ones() -> None:
    origins = AppOrigins(OriginPolicy(["^https://configured$"]))
    assert origins.approves(app(), "https://configured")
    assert not origins.approves(app(), None)
    assert origins.approves(app("^https://mine$"), "https://mine")
    assert not origins.approves(app("^https://mine$"), "https://configured")
    assert not origins.approves(app("^https://mine$"), None)


def test_patterns_that_cannot_be_used_approve_nobody_and_are_told_once() -> None:
    origins = AppOrigins(OriginPolicy([".*"]))
    with structlog.testing.capture_logs() as logs:
        assert not origins.approves(app("("), "https://mine")
        assert not origins.approves(app("("), "https://mine")
    assert [(line["log_level"], line["app"]) for line in logs] == [("warning", "1")]


def test_what_is_remembered_is_bounded() -> None:
    origins = AppOrigins(OriginPolicy([]))
    for number in range(MOST_REMEMBERED + 10):
        assert origins.approves(app(f"^https://{number}$"), f"https://{number}")
    assert len(origins._policies) == MOST_REMEMBERED
