"""What happens before a handler, and when one fails: limits, malformed requests, errors, headers."""

from __future__ import annotations

from typing import Any

import pytest
from structlog.testing import capture_logs

from tests.web.site import API_KEY, PASSWORD, Site, SiteMaker
from users_server.errors import ConfigError, LimitExceeded, Overloaded
from users_server.web.route import Answer, Call, Route, Who
from users_server.web.settings import HttpSettings

JSON_TYPE = {"Content-Type": "application/json"}


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/", "/nowhere", "/users/alice/nothing", "/users/", "/users//meta", "/Users", "/%00"])
async def test_unknown_paths(site: Site, path: str) -> None:
    for method in ("GET", "POST", "OPTIONS", "HEAD"):
        reply = await site.ask(method, path)
        assert reply.status == 404
        if method != "HEAD":
            assert reply.json == {"message": "There is nothing at this address", "error": True}


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/users", "GET, HEAD, OPTIONS, POST"),
        ("PATCH", "/users/alice", "DELETE, GET, HEAD, OPTIONS"),
        ("HEAD", "/logout", "GET, OPTIONS, POST"),
        ("GET", "/tokens", "OPTIONS, POST"),
        ("POST", "/healthz", "GET, HEAD, OPTIONS"),
    ],
)
async def test_wrong_methods(site: Site, method: str, path: str, allowed: str) -> None:
    reply = await site.ask(method, path)
    assert (reply.status, reply.headers["Allow"]) == (405, allowed)
    if method != "HEAD":
        assert reply.json == {"message": "This method is not allowed here", "error": True}


@pytest.mark.gen_test
async def test_a_method_that_http_does_not_know(site: Site) -> None:
    reply = await site.send("BREW /users HTTP/1.1")
    assert (reply.status, reply.headers["Allow"]) == (405, "GET, HEAD, OPTIONS, POST")
    assert reply.json["error"] is True
    assert (await site.send("BREW /nowhere HTTP/1.1")).status == 405


@pytest.mark.gen_test
async def test_head_is_get_without_the_body(site: Site) -> None:
    reply = await site.ask("HEAD", "/authenticated")
    body = (await site.ask("GET", "/authenticated")).body
    assert (reply.status, reply.body) == (200, b"")
    assert reply.headers["Content-Length"] == str(len(body))


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/authenticated", "/users", "/nowhere", "/healthz", "/metrics", "/users/%FF"])
async def test_headers_of_every_answer(site: Site, path: str) -> None:
    reply = await site.ask("GET", path)
    assert reply.headers["X-Content-Type-Options"] == "nosniff"
    assert reply.headers["Cache-Control"] == "no-store"
    assert "Server" not in reply.headers
    assert "Etag" not in reply.headers
    if path != "/metrics":
        assert reply.headers["Content-Type"] == "application/json"


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("text", "status", "message"),
    [
        (b"{", 400, "The body is not valid JSON"),
        (b"{'username': 'alice'}", 400, "The body is not valid JSON"),
        (b'{"username": NaN}', 400, "The body is not valid JSON"),
        (b'{"username": "\xff"}', 400, "The body is not valid JSON"),
        (b'{"username": "\\ud800"}', 400, "The body is not valid JSON"),
        (b"[]", 400, "The body must be a JSON object"),
        (b'"text"', 400, "The body must be a JSON object"),
        (b"null", 400, "The body must be a JSON object"),
        (b"[" * 100_000, 400, "The body is not valid JSON"),
        (b"   ", 422, "Please enter a valid username"),
    ],
)
async def test_bodies_that_are_no_object(site: Site, text: bytes, status: int, message: str) -> None:
    reply = await site.ask("POST", "/users/login", raw=text, headers=JSON_TYPE)
    assert reply.status == status
    assert reply.message.startswith(message)
    assert (reply.json["error"], reply.json["authenticated"]) == (True, False)


@pytest.mark.gen_test
async def test_a_body_just_within_the_limit(make_site: SiteMaker) -> None:
    site = await make_site(http=HttpSettings(max_body_bytes=1000))
    text = f'{{"username":"alice","password":"{PASSWORD}"}}'.encode()
    for size, status in ((1000, 200), (1001, 413), (8000, 413)):
        reply = await site.ask("POST", "/users/login", raw=text.ljust(size), headers=JSON_TYPE)
        assert reply.status == status
    assert reply.message == "The body is larger than 1000 bytes"


@pytest.mark.gen_test
async def test_a_chunked_body_over_the_limit(make_site: SiteMaker) -> None:
    site = await make_site(http=HttpSettings(max_body_bytes=1000))
    chunk = b"200\r\n" + b" " * 0x200 + b"\r\n"
    lines = ("POST /users/login HTTP/1.1", "Content-Type: application/json", "Transfer-Encoding: chunked")
    assert (await site.send(*lines, body=chunk + b"0\r\n\r\n")).status == 422
    reply = await site.send(*lines, body=chunk * 2 + b"0\r\n\r\n")
    assert (reply.status, reply.message) == (413, "The body is larger than 1000 bytes")


@pytest.mark.gen_test
@pytest.mark.parametrize("path", ["/users/login", "/nowhere"])
async def test_an_enormous_body_is_refused_before_it_comes(make_site: SiteMaker, path: str) -> None:
    site = await make_site(http=HttpSettings(max_body_bytes=1000))
    reply = await site.send(f"POST {path} HTTP/1.1", "Content-Type: application/json", "Content-Length: 9999999999")
    assert (reply.status, reply.message) == (413, "The body is larger than 1000 bytes")


@pytest.mark.gen_test
async def test_a_body_that_no_route_wants_is_ignored(site: Site) -> None:
    reply = await site.ask("POST", "/logout", {"anything": 1})
    assert reply.status == 200
    assert (await site.ask("GET", "/authenticated", raw=b"text")).status == 200


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("prefix", "path"), [("/api", "/api/authenticated"), ("api/v1/", "/api/v1/authenticated"), ("/a.b", "/a.b/users")]
)
async def test_the_prefix(make_site: SiteMaker, prefix: str, path: str) -> None:
    site = await make_site(http=HttpSettings(api_prefix=prefix))
    assert (await site.ask("GET", path)).status in (200, 401)
    assert (await site.ask("GET", "/authenticated")).status == 404
    assert (await site.ask("GET", "/axb/users")).status == 404
    for operation in ("/healthz", "/readyz", "/metrics"):
        assert (await site.ask("GET", operation)).status == 200


@pytest.mark.gen_test
async def test_a_bad_token_is_refused_wherever_a_cookie_would_do(site: Site) -> None:
    cookie = await site.login("alice")
    for token in ("nonsense", "", "a.b.c"):
        reply = await site.ask("GET", "/authenticated", cookie=cookie, token=token)
        assert reply.status == 401
        assert reply.message == "The token is not valid"
        assert reply.json["authenticated"] is False
        assert reply.headers["WWW-Authenticate"] == "Bearer"


@pytest.mark.gen_test
@pytest.mark.parametrize("value", ["Basic YTpi", "Bearerx", ""])
async def test_other_ways_to_authorize_are_ignored(site: Site, value: str) -> None:
    reply = await site.ask("GET", "/authenticated", headers={"Authorization": value})
    assert (reply.status, reply.json["authenticated"]) == (200, False)


@pytest.mark.gen_test
@pytest.mark.parametrize("others", ['{"a": 1}', "b@d[name]=1", "=", ";;", 'x="unclosed'])
async def test_cookies_of_others_do_not_hide_ours(site: Site, others: str) -> None:
    cookie = await site.login("alice")
    for header in (f"other={others}; SID={cookie}", f"SID={cookie}; other={others}"):
        reply = await site.ask("GET", "/authenticated", headers={"Cookie": header})
        assert reply.json["authenticated"] is True, header


@pytest.mark.gen_test
async def test_an_api_key_alone_is_nobody(site: Site) -> None:
    headers = {"users-api-key": API_KEY}
    assert (await site.ask("GET", "/authenticated", headers=headers)).json["authenticated"] is False
    assert (await site.ask("GET", "/users", headers=headers)).status == 403
    assert (await site.ask("GET", "/sessions", headers=headers)).status == 403
    assert (await site.ask("GET", "/users/bob/meta", headers=headers)).json == {}


@pytest.mark.gen_test
async def test_a_database_that_is_away(site: Site) -> None:
    cookie = await site.login("alice")
    await site.store.close()
    for reply in (
        await site.ask("GET", "/authenticated", cookie=cookie),
        await site.ask("POST", "/users/login", {"username": "alice", "password": PASSWORD}),
    ):
        assert reply.status == 503
        assert "database" in reply.message
        assert int(reply.headers["Retry-After"]) > 0
        assert reply.json["authenticated"] is False
    assert (await site.ask("GET", "/healthz", cookie=cookie)).status == 200


def _failing_route(error: Exception) -> Route:
    async def fail(_call: Call) -> Answer:
        raise error

    return Route(
        "GET", "/fail/:how", fail, Who.ALL, summary="", message="", tag="tests", failure={"authenticated": False}
    )


@pytest.mark.gen_test
@pytest.mark.parametrize("error", [RuntimeError("with a secret"), ConfigError("tokens.keys", "a key")])
async def test_an_unexpected_error_is_logged_once_and_not_told(make_site: SiteMaker, error: Exception) -> None:
    site = await make_site(routes=(_failing_route(error),))
    with capture_logs() as logs:
        reply = await site.ask("GET", "/fail/with-a-secret?token=secret")
    assert reply.status == 500
    assert reply.json == {
        "message": "Something went wrong; it has been logged",
        "error": True,
        "authenticated": False,
    }
    [log] = [entry for entry in logs if entry["log_level"] == "error"]
    assert (log["method"], log["route"]) == ("GET", "/fail/:how")
    assert log["exc_info"] is error


@pytest.mark.gen_test
@pytest.mark.parametrize(
    ("error", "status", "retry_after"),
    [
        (LimitExceeded(retry_after_seconds=0.2), 429, "1"),
        (LimitExceeded(retry_after_seconds=61.5), 429, "62"),
        (LimitExceeded(), 429, None),
        (Overloaded(), 503, "5"),
    ],
)
async def test_when_to_come_back(make_site: SiteMaker, error: Any, status: int, retry_after: str | None) -> None:
    site = await make_site(routes=(_failing_route(error),))
    reply = await site.ask("GET", "/fail/now")
    assert (reply.status, reply.headers.get("Retry-After")) == (status, retry_after)
    assert reply.message == error.message


@pytest.mark.gen_test
async def test_one_connection_serves_many_requests(site: Site) -> None:
    """Also after refusals, which leave no part of a body unread."""
    text = b'{"username": "alice"}'
    head = (
        "POST /users HTTP/1.1",
        f"Host: {site.host}",
        f"Content-Length: {len(text)}",
        "Content-Type: application/json",
        "",
        "",
    )
    one = "\r\n".join(head).encode() + text
    reader, writer = await site.connect()
    writer.write(one + one)
    for _ in range(2):
        assert b" 401 " in await reader.readline()
        length = 0
        while (line := await reader.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                length = int(line.split(b":")[1])
        assert b"You must be logged in" in await reader.readexactly(length)
    writer.close()
    await writer.wait_closed()
