"""Health, readiness and metrics."""

from __future__ import annotations

import asyncio

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from tests.web.site import PASSWORD, Site, SiteMaker
from users_server.core.statistics import Statistics
from users_server.web.rest import operation
from users_server.web.settings import Compatibility
from users_server.web.statistics_collector import StatisticsCollector


def samples(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


@pytest.mark.gen_test
async def test_health(site: Site) -> None:
    reply = await site.ask("GET", "/healthz")
    assert (reply.status, reply.json) == (200, {"message": "The server is alive", "error": False})


@pytest.mark.gen_test
async def test_ready(site: Site) -> None:
    reply = await site.ask("GET", "/readyz")
    assert reply.status == 200
    assert reply.json == {
        "message": "The server is ready",
        "error": False,
        "checks": {"database": "ok", "broker": "ok"},
    }


@pytest.mark.gen_test
@pytest.mark.parametrize("compatibility", Compatibility)
async def test_not_ready(make_site: SiteMaker, compatibility: Compatibility) -> None:
    site = await make_site(compatibility=compatibility)
    await site.node.stop()
    reply = await site.ask("GET", "/readyz")
    assert reply.status == 503
    assert reply.json == {
        "message": "The server is not ready",
        "error": True,
        "checks": {"database": "ok", "broker": "failed"},
    }
    await site.store.close()
    assert (await site.ask("GET", "/readyz")).json["checks"]["database"] == "failed"


@pytest.mark.gen_test
async def test_a_check_that_breaks_or_hangs_is_a_failed_one(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    async def broken() -> None:
        raise RuntimeError("mongodb://user:secret@host")

    async def hanging() -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(operation, "CHECK_TIMEOUT_SECONDS", 0.01)
    site.checks |= {"broken": broken, "hanging": hanging}
    with capture_logs() as logs:
        reply = await site.ask("GET", "/readyz")
    assert reply.json["checks"] == {"database": "ok", "broker": "ok", "broken": "failed", "hanging": "failed"}
    assert "secret" not in reply.body.decode()
    assert [(log["log_level"], log["check"]) for log in logs] == [("error", "broken")]


@pytest.mark.gen_test
async def test_metrics_count_by_template_and_never_by_path(site: Site) -> None:
    await site.ask("GET", "/users/alice")
    await site.ask("GET", "/users/some-other-name?token=secret")
    await site.ask("GET", "/nowhere/1")
    await site.ask("GET", "/nowhere/2")
    await site.send("BREW /users HTTP/1.1")
    reply = await site.ask("GET", "/metrics")
    assert reply.headers["Content-Type"].startswith("text/plain; version=0.0.4")
    text = reply.body.decode()
    counts = {
        (labels["method"], labels["route"], labels["status"]): value
        for (name, pairs), value in samples(text).items()
        if name == "users_server_http_requests_total"
        for labels in [dict(pairs)]
    }
    assert counts == {
        ("GET", "/users/:user", "401"): 2,
        ("GET", "unmatched", "404"): 2,
        ("other", "/users", "405"): 1,
    }
    assert "some-other-name" not in text
    assert "nowhere" not in text
    duration = ("users_server_http_request_duration_seconds_count", (("method", "GET"), ("route", "/users/:user")))
    assert samples(text)[duration] == 2


@pytest.mark.gen_test
async def test_metrics_count_logins_by_result(site: Site) -> None:
    first = samples((await site.ask("GET", "/metrics")).body.decode())
    assert first[("users_server_logins_total", (("result", "success"),))] == 0
    await site.login("alice")
    for password in ("wrong", "wrong again", ""):
        await site.ask("POST", "/users/login", {"username": "alice", "password": password})
    counts = samples((await site.ask("GET", "/metrics")).body.decode())
    assert {
        dict(pairs)["result"]: value for (name, pairs), value in counts.items() if name == "users_server_logins_total"
    } == {"success": 1, "unauthenticated": 2, "invalid_value": 1}


@pytest.mark.gen_test
async def test_metrics_show_the_proper_status_in_webinate_too(make_site: SiteMaker) -> None:
    site = await make_site(compatibility=Compatibility.WEBINATE)
    await site.ask("POST", "/users/login", {"username": "alice", "password": "not " + PASSWORD})
    counts = samples((await site.ask("GET", "/metrics")).body.decode())
    labels = (("method", "POST"), ("route", "/users/login"), ("status", "401"))
    assert counts[("users_server_http_requests_total", labels)] == 1


@pytest.mark.gen_test
async def test_metrics_in_the_openmetrics_format(site: Site) -> None:
    reply = await site.ask("GET", "/metrics", headers={"Accept": "application/openmetrics-text; version=1.0.0"})
    assert reply.headers["Content-Type"].startswith("application/openmetrics-text")
    assert reply.body.endswith(b"# EOF\n")
    families = parse_openmetrics(reply.body.decode())  # type: ignore[no-untyped-call]
    names = {family.name for family in families}
    assert {"users_server_http_requests", "users_server_logins"} <= names


@pytest.mark.gen_test
async def test_other_collectors_can_be_attached(site: Site) -> None:
    site.context.metrics.attach(StatisticsCollector(Statistics(connections=7), lambda: [1, 2]))
    counts = samples((await site.ask("GET", "/metrics")).body.decode())
    assert counts[("users_server_connections", ())] == 7


@pytest.mark.gen_test
async def test_operation_asks_nobody_who_he_is(site: Site) -> None:
    await site.store.close()
    for path in ("/healthz", "/metrics"):
        assert (await site.ask("GET", path, cookie="x", token="bad")).status == 200
