from __future__ import annotations

import hmac
from typing import Any

import pytest

from tests.unit.services.conftest import LIFETIME_SECONDS, Services
from tests.unit.services.doubles import ManualClock
from users_server.core.accounts import Privilege
from users_server.core.messages import ANONYMOUS, Identity
from users_server.errors import StoreUnavailable, Unauthenticated
from users_server.services.identity import IdentityService
from users_server.services.settings import TokenKey, TokenSettings
from users_server.services.tokens import EMIT_SCOPE, TokenService

API_KEY = "an internal service's key"
SECRET = "0123456789abcdef0123456789abcdef"


@pytest.fixture
def tokens(clock: ManualClock) -> TokenService:
    return TokenService(TokenSettings((TokenKey("k", "HS256", secret=SECRET),)), clock)


class Door:
    """An :class:`IdentityService`, asked with fewer words."""

    def __init__(self, services: Services, tokens: TokenService, api_key: str = API_KEY) -> None:
        self.service = IdentityService(services.store, services.sessions, tokens, api_key)

    async def who(self, cookie: str | None = None, token: str | None = None, api_key: str | None = None) -> Identity:
        return await self.service.identify(cookie=cookie, token=token, api_key=api_key)

    async def refusal(self, token: str, **others: Any) -> str:
        with pytest.raises(Unauthenticated) as caught:
            await self.who(token=token, **others)
        return caught.value.message


@pytest.fixture
def door(services: Services, tokens: TokenService) -> Door:
    return Door(services, tokens)


@pytest.mark.gen_test
async def test_without_credentials_a_client_is_anonymous(door: Door) -> None:
    assert await door.who() == ANONYMOUS
    assert await door.who(cookie="", api_key="") == ANONYMOUS


@pytest.mark.gen_test
async def test_a_cookie_is_its_user(services: Services, door: Door) -> None:
    user = await services.add_user("Bob", privileges=Privilege.ADMIN)
    session, cookie = await services.sessions.open(user)
    assert await door.who(cookie) == Identity(user.id, "Bob", 2, session_id=session.id)


@pytest.mark.gen_test
async def test_a_stale_cookie_is_anonymous(services: Services, door: Door) -> None:
    user = await services.add_user()
    session, closed = await services.sessions.open(user)
    await services.sessions.close(session.id)
    _, expired = await services.sessions.open(user)
    services.clock.advance(LIFETIME_SECONDS)
    _, orphaned = await services.sessions.open(user)
    await services.store.delete_user(user.id)
    for cookie in (closed, expired, orphaned, "rubbish"):
        assert await door.who(cookie) == ANONYMOUS


@pytest.mark.gen_test
async def test_a_cookie_of_an_inactive_account_is_anonymous(services: Services, door: Door) -> None:
    _, cookie = await services.sessions.open(await services.add_user(is_active=False))
    assert await door.who(cookie) == ANONYMOUS


@pytest.mark.gen_test
async def test_a_token_is_its_user_with_the_accounts_name_and_rights(
    services: Services, tokens: TokenService, door: Door
) -> None:
    user = await services.add_user("Bob", privileges=Privilege.ADMIN)
    identity = await door.who(token=tokens.issue("bob", scopes=["files:read"], lifetime_seconds=60))
    assert identity == Identity(
        user.id,
        "Bob",
        2,
        scopes=frozenset({"files:read"}),
        expires_at=services.clock.now_ms() / 1000 + 60,
    )


@pytest.mark.gen_test
async def test_a_token_with_the_emit_scope_is_trusted(services: Services, tokens: TokenService, door: Door) -> None:
    await services.add_user()
    assert (await door.who(token=tokens.issue("bob", scopes=[EMIT_SCOPE]))).is_trusted
    assert not (await door.who(token=tokens.issue("bob", scopes=["events:emitter", "x"]))).is_trusted


@pytest.mark.gen_test
async def test_a_service_is_known_by_its_scopes(tokens: TokenService, door: Door) -> None:
    identity = await door.who(token=tokens.issue("mailer", scopes=[EMIT_SCOPE]))
    assert (identity.user_id, identity.username, identity.is_trusted) == (None, "mailer", True)
    assert not identity.is_authenticated
    assert not identity.is_admin
    reader = await door.who(token=tokens.issue("the reader@internal", scopes=["read"]))
    assert (reader.username, reader.is_trusted, reader.scopes) == ("the reader@internal", False, frozenset({"read"}))
    assert reader.expires_at is not None
    assert await door.refusal(tokens.issue("mailer")) == "The token is not valid"


@pytest.mark.gen_test
async def test_an_email_as_the_subject_is_no_account(services: Services, tokens: TokenService, door: Door) -> None:
    user = await services.add_user()
    assert await door.refusal(tokens.issue(user.email)) == "The token is not valid"


@pytest.mark.gen_test
async def test_a_token_of_an_inactive_account_is_refused(services: Services, tokens: TokenService, door: Door) -> None:
    await services.add_user(is_active=False)
    assert await door.refusal(tokens.issue("bob")) == "The token is not valid"
    assert await door.refusal(tokens.issue("bob", scopes=[EMIT_SCOPE])) == "The token is not valid"


@pytest.mark.gen_test
async def test_a_token_does_not_pass_to_the_next_account_of_that_name(
    services: Services, tokens: TokenService, door: Door
) -> None:
    first = await services.add_user()
    old, old_of_service = tokens.issue("bob"), tokens.issue("bob", scopes=["x"])
    await services.store.delete_user(first.id)
    assert await door.refusal(old) == "The token is not valid"
    services.clock.advance(60)
    await services.add_user()
    assert await door.refusal(old) == "The token is not valid"
    assert (await door.who(token=old_of_service)).user_id is None
    assert (await door.who(token=tokens.issue("bob"))).username == "bob"


@pytest.mark.gen_test
async def test_a_token_ends_with_the_session_it_names(services: Services, tokens: TokenService, door: Door) -> None:
    user = await services.add_user()
    session, _ = await services.sessions.open(user)
    token = tokens.issue("bob", session_id=session.id)
    of_service = tokens.issue("mailer", scopes=[EMIT_SCOPE], session_id=session.id)
    assert (await door.who(token=token)).session_id == session.id
    assert (await door.who(token=of_service)).session_id == session.id
    await services.sessions.close(session.id)
    assert await door.refusal(token) == "The session has ended"
    assert await door.refusal(of_service) == "The session has ended"


@pytest.mark.gen_test
async def test_a_token_cannot_name_somebody_elses_session(services: Services, tokens: TokenService, door: Door) -> None:
    await services.add_user()
    session, _ = await services.sessions.open(await services.add_user("eve"))
    assert await door.refusal(tokens.issue("bob", session_id=session.id)) == "The session has ended"
    assert await door.refusal(tokens.issue("bob", session_id="")) == "The session has ended"


@pytest.mark.gen_test
async def test_a_bad_token_is_refused_whatever_comes_with_it(
    services: Services, tokens: TokenService, door: Door
) -> None:
    _, cookie = await services.sessions.open(await services.add_user())
    expired = tokens.issue("bob", lifetime_seconds=1)
    services.clock.advance(10)
    assert await door.refusal(expired) == "The token has expired"
    for token in ("", "rubbish", expired):
        await door.refusal(token, cookie=cookie, api_key=API_KEY)


@pytest.mark.gen_test
async def test_a_token_goes_before_a_cookie(services: Services, tokens: TokenService, door: Door) -> None:
    await services.add_user("eve")
    _, cookie = await services.sessions.open(await services.add_user())
    assert (await door.who(cookie, tokens.issue("eve"))).username == "eve"


@pytest.mark.gen_test
async def test_the_api_key_makes_trusted(services: Services, tokens: TokenService, door: Door) -> None:
    user = await services.add_user()
    session, cookie = await services.sessions.open(user)
    assert await door.who(api_key=API_KEY) == Identity(is_trusted=True)
    assert await door.who(cookie, api_key=API_KEY) == Identity(user.id, "bob", session_id=session.id, is_trusted=True)
    assert (await door.who(token=tokens.issue("bob"), api_key=API_KEY)).is_trusted


@pytest.mark.gen_test
@pytest.mark.parametrize("api_key", ["", "x", API_KEY[:-1], API_KEY + "x", API_KEY.upper(), "\ud800", "ü"])
async def test_a_wrong_api_key_is_as_good_as_none(services: Services, door: Door, api_key: str) -> None:
    assert await door.who(api_key=api_key) == ANONYMOUS
    _, cookie = await services.sessions.open(await services.add_user())
    assert not (await door.who(cookie, api_key=api_key)).is_trusted


@pytest.mark.gen_test
@pytest.mark.parametrize("api_key", ["", "anything"])
async def test_without_a_configured_key_the_header_is_ignored(
    services: Services, tokens: TokenService, api_key: str
) -> None:
    assert await Door(services, tokens, api_key="").who(api_key=api_key) == ANONYMOUS


@pytest.mark.gen_test
async def test_the_api_key_is_compared_in_constant_time(door: Door, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def counted(first: bytes, second: bytes) -> bool:
        compared.append((first, second))
        return compare(first, second)

    monkeypatch.setattr(hmac, "compare_digest", counted)
    await door.who(api_key="short")
    await door.who(api_key=API_KEY)
    assert [len(first) == len(second) == 32 for first, second in compared] == [True, True]


@pytest.mark.gen_test
async def test_a_store_that_is_away_makes_nobody_anonymous(services: Services, door: Door) -> None:
    await services.store.close()
    with pytest.raises(StoreUnavailable):
        await door.who("x" * 43)
