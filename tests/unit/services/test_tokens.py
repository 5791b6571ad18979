from __future__ import annotations

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.rsa import generate_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.unit.services.doubles import ManualClock
from users_server.errors import ConfigError, InvalidValue, NotFound, Unauthenticated
from users_server.services.settings import TokenKey, TokenSettings
from users_server.services.tokens import EMIT_SCOPE, TokenService

SECRET = "0123456789abcdef0123456789abcdef"
SYMMETRIC = TokenKey("sym", "HS256", secret=SECRET)


def pem(key: Any) -> tuple[str, str]:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return private.decode(), public.decode()


RSA_PRIVATE, RSA_PUBLIC = pem(generate_private_key(65537, 2048))
ED_PRIVATE, ED_PUBLIC = pem(Ed25519PrivateKey.generate())
RSA = TokenKey("rsa", "RS256", public_key=RSA_PUBLIC, private_key=RSA_PRIVATE)
EDDSA = TokenKey("ed", "EdDSA", public_key=ED_PUBLIC, private_key=ED_PRIVATE)


def b64(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def forge(header: Any, claims: Any, sign: Callable[[bytes], bytes]) -> str:
    """A token made by hand, as an attacker makes it."""
    signed = f"{b64(json.dumps(header).encode())}.{b64(json.dumps(claims).encode())}"
    return f"{signed}.{b64(sign(signed.encode()))}"


def by_secret(secret: str | bytes = SECRET) -> Callable[[bytes], bytes]:
    key = secret.encode() if isinstance(secret, str) else secret
    return lambda data: hmac.new(key, data, hashlib.sha256).digest()


def claims_at(clock: ManualClock, **changes: Any) -> dict[str, Any]:
    now = clock.now_ms() // 1000
    claims = {"sub": "bob", "iat": now, "exp": now + 60, "iss": "users-server", "aud": "users-server", **changes}
    return {name: value for name, value in claims.items() if value is not ...}


def service(clock: ManualClock, *keys: TokenKey) -> TokenService:
    return TokenService(TokenSettings(keys), clock)


def refusal(tokens: TokenService, token: str) -> str:
    with pytest.raises(Unauthenticated) as caught:
        tokens.verify(token)
    return caught.value.message


@pytest.mark.parametrize("key", [SYMMETRIC, RSA, EDDSA], ids=lambda key: key.algorithm)
def test_what_is_issued_is_verified(clock: ManualClock, key: TokenKey) -> None:
    tokens = service(clock, key)
    token = tokens.issue("bob", scopes=["b", EMIT_SCOPE, "b"], lifetime_seconds=60, session_id="5e55")
    claims = tokens.verify(token)
    assert claims.subject == "bob"
    assert claims.scopes == {"b", "events:emit"}
    assert claims.expires_at == clock.now_ms() / 1000 + 60
    assert claims.issued_at == clock.now_ms() / 1000
    assert claims.session_id == "5e55"
    assert jwt.get_unverified_header(token) == {"alg": key.algorithm, "kid": key.kid, "typ": "JWT"}


def test_the_claims_of_an_issued_token(clock: ManualClock) -> None:
    settings = TokenSettings((SYMMETRIC,), issuer="me", audience="you", lifetime_seconds=7)
    tokens = TokenService(settings, clock)
    first, second = (jwt.decode(tokens.issue("bob"), options={"verify_signature": False}) for _ in range(2))
    now = clock.now_ms() // 1000
    jti = first.pop("jti")
    assert jti != second["jti"]
    assert first == {"sub": "bob", "iat": now, "exp": now + 7, "iss": "me", "aud": "you"}
    assert tokens.verify(tokens.issue("bob")).session_id is None


def test_the_first_key_that_can_sign_signs(clock: ManualClock) -> None:
    verifier = TokenKey("old", "RS256", public_key=RSA_PUBLIC)
    tokens = service(clock, verifier, EDDSA, SYMMETRIC)
    assert jwt.get_unverified_header(tokens.issue("bob"))["kid"] == "ed"
    assert jwt.get_unverified_header(tokens.issue("bob", key_id="sym"))["kid"] == "sym"
    assert tokens.verify(service(clock, TokenKey("old", "RS256", private_key=RSA_PRIVATE)).issue("bob"))


@pytest.mark.parametrize(
    ("keys", "key_id", "message"),
    [
        ((), None, "Tokens are not configured: no key of tokens.keys can sign"),
        (
            (TokenKey("rsa", "RS256", public_key=RSA_PUBLIC),),
            None,
            "Tokens are not configured: no key of tokens.keys can sign",
        ),
        ((TokenKey("rsa", "RS256", public_key=RSA_PUBLIC),), "rsa", "Tokens are not configured: no key 'rsa' can sign"),
        ((SYMMETRIC,), "other", "Tokens are not configured: no key 'other' can sign"),
    ],
)
def test_without_a_key_that_signs_nothing_is_issued(
    clock: ManualClock, keys: tuple[TokenKey, ...], key_id: str | None, message: str
) -> None:
    with pytest.raises(NotFound) as caught:
        service(clock, *keys).issue("bob", key_id=key_id)
    assert caught.value.message == message


@pytest.mark.parametrize(
    "arguments",
    [
        {"subject": ""},
        {"scopes": ["a b"]},
        {"scopes": [""]},
        {"scopes": [" a"]},
        {"lifetime_seconds": 0},
        {"lifetime_seconds": -1},
    ],
)
def test_what_cannot_be_issued(clock: ManualClock, arguments: dict[str, Any]) -> None:
    with pytest.raises(InvalidValue):
        service(clock, SYMMETRIC).issue(**{"subject": "bob", **arguments})


def test_a_token_expires_by_the_servers_clock(clock: ManualClock) -> None:
    tokens = service(clock, SYMMETRIC)
    token = tokens.issue("bob", lifetime_seconds=60)
    clock.advance(64.9)
    assert tokens.verify(token).subject == "bob"
    clock.advance(0.1)
    assert refusal(tokens, token) == "The token has expired"


def test_algorithm_none_is_refused(clock: ManualClock) -> None:
    tokens = service(clock, SYMMETRIC)
    for name in ("none", "None", "NONE", "nOnE"):
        for header in ({"alg": name, "kid": "sym"}, {"alg": name}):
            token = forge(header, claims_at(clock), lambda _: b"")
            assert refusal(tokens, token) == "The token is not valid"
            assert refusal(tokens, token.rstrip(".")) == "The token is not valid"
            assert refusal(tokens, forge(header, claims_at(clock), by_secret())) == "The token is not valid"


@pytest.mark.parametrize("public", [RSA_PUBLIC, RSA_PUBLIC.strip(), ED_PUBLIC])
@pytest.mark.parametrize("kid", ["rsa", "ed", None])
def test_a_public_key_is_no_secret(clock: ManualClock, public: str, kid: str | None) -> None:
    header = {"alg": "HS256", "typ": "JWT"} | ({"kid": kid} if kid else {})
    forged = forge(header, claims_at(clock), by_secret(public))
    assert refusal(service(clock, RSA, EDDSA, SYMMETRIC), forged) == "The token is not valid"
    assert refusal(service(clock, RSA), forged) == "The token is not valid"
    assert refusal(service(clock, EDDSA), forged) == "The token is not valid"


def test_a_key_verifies_by_its_own_algorithm_alone(clock: ManualClock) -> None:
    tokens = service(clock, RSA, EDDSA, SYMMETRIC)
    for signer in (RSA, EDDSA, SYMMETRIC):
        signed = service(clock, TokenKey("x", signer.algorithm, signer.secret, "", signer.private_key))
        payload = signed.issue("bob").split(".")[1]
        assert payload
        for kid in {"rsa", "ed", "sym"} - {signer.kid}:
            material: Any = signer.secret or signer.private_key
            token = jwt.encode(claims_at(clock), material, algorithm=signer.algorithm, headers={"kid": kid})
            assert refusal(tokens, token) == "The token is not valid"
    for algorithm in ("RS512", "PS256"):
        token = jwt.encode(claims_at(clock), RSA_PRIVATE, algorithm=algorithm, headers={"kid": "rsa"})
        assert refusal(tokens, token) == "The token is not valid"
    token = jwt.encode(claims_at(clock), SECRET * 2, algorithm="HS512", headers={"kid": "sym"})
    assert refusal(tokens, token) == "The token is not valid"


@pytest.mark.parametrize("kid", ["other", "", "SYM", 1, ["sym"], {"a": 1}, True])
def test_an_unknown_key_id_is_refused(clock: ManualClock, kid: Any) -> None:
    forged = forge({"alg": "HS256", "kid": kid}, claims_at(clock), by_secret())
    assert refusal(service(clock, SYMMETRIC), forged) == "The token is not valid"


def test_without_a_key_id_the_only_key_is_tried(clock: ManualClock) -> None:
    token = forge({"alg": "HS256"}, claims_at(clock), by_secret())
    assert service(clock, SYMMETRIC).verify(token).subject == "bob"
    assert refusal(service(clock, SYMMETRIC, EDDSA), token) == "The token is not valid"
    assert refusal(service(clock), token) == "The token is not valid"


def test_keys_that_a_token_brings_along_are_ignored(clock: ManualClock) -> None:
    own = Ed25519PrivateKey.generate()
    jwk = json.loads(jwt.algorithms.OKPAlgorithm.to_jwk(own.public_key()))
    for extra in ({"jwk": jwk}, {"jku": "http://evil.example/keys"}, {"x5u": "http://evil.example/x"}):
        token = forge({"alg": "EdDSA", "kid": "ed", **extra}, claims_at(clock), own.sign)
        assert refusal(service(clock, EDDSA), token) == "The token is not valid"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": "other"},
        {"aud": ["other"]},
        {"aud": ...},
        {"aud": None},
        {"aud": {"users-server": 1}},
        {"aud": 1},
        {"iss": "other"},
        {"iss": ...},
        {"iss": ["users-server"]},
        {"sub": ...},
        {"sub": ""},
        {"sub": None},
        {"sub": 7},
        {"sub": ["bob"]},
        {"exp": ...},
        {"exp": None},
        {"exp": "9999999999"},
        {"exp": True},
        {"exp": []},
        {"exp": float("inf")},
        {"exp": float("nan")},
        {"exp": 10**400},
        {"nbf": 9999999999},
        {"nbf": "soon"},
        {"iat": 9999999999},
        {"iat": "x"},
        {"scope": ["events:emit"]},
        {"scope": 1},
        {"sid": 1},
        {"sid": ["5e55"]},
    ],
    ids=repr,
)
def test_claims_that_are_not_in_order(clock: ManualClock, changes: dict[str, Any]) -> None:
    forged = forge({"alg": "HS256", "kid": "sym"}, claims_at(clock, **changes), by_secret())
    assert refusal(service(clock, SYMMETRIC), forged) == "The token is not valid"


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": ["other", "users-server"]},
        {"iat": ...},
        {"nbf": 1_700_000_004},
        {"iat": 1_700_000_004},
        {"exp": 1_700_000_000.5},
        {"scope": "  "},
        {"sid": None},
        {"unknown": {"a": [1]}},
    ],
    ids=repr,
)
def test_claims_of_other_issuers_that_are_in_order(clock: ManualClock, changes: dict[str, Any]) -> None:
    token = forge({"alg": "HS256", "kid": "sym"}, claims_at(clock, **changes), by_secret())
    claims = service(clock, SYMMETRIC).verify(token)
    assert (claims.subject, claims.scopes, claims.session_id) == ("bob", frozenset(), None)


@pytest.mark.parametrize("key", [SYMMETRIC, RSA, EDDSA], ids=lambda key: key.algorithm)
def test_a_changed_token_is_refused(clock: ManualClock, key: TokenKey) -> None:
    tokens = service(clock, key)
    token = tokens.issue("bob")
    header, payload, signature = token.split(".")
    other_payload = tokens.issue("eve").split(".")[1]
    other_signature = tokens.issue("bob", lifetime_seconds=1).split(".")[2]
    flipped = ("B" if signature[0] == "A" else "A") + signature[1:]
    for changed in (
        f"{header}.{other_payload}.{signature}",
        f"{header}.{payload}.{other_signature}",
        f"{header}.{payload}.{flipped}",
        f"{header}.{payload}.{signature[:-4]}",
        f"{header}.{payload}.",
        f"{header}.{payload}",
        f"{payload}.{header}.{signature}",
        f"{token}.{signature}",
        f" {token}",
    ):
        assert refusal(tokens, changed) == "The token is not valid"


@pytest.mark.parametrize(
    "token", ["", ".", "..", "...", "a.b.c", "ü.ü.ü", "\ud800", "x" * 8193, "e30.e30.", "bnVsbA.e30.", "W10.W10.AA"]
)
def test_what_is_no_token(clock: ManualClock, token: str) -> None:
    assert refusal(service(clock, SYMMETRIC), token) == "The token is not valid"


def test_deep_or_signed_nonsense_is_refused(clock: ManualClock) -> None:
    tokens = service(clock, SYMMETRIC)
    deep = b"[" * 2900 + b"]" * 2900
    for header, payload in (
        (b'{"alg":"HS256","kid":"sym"}', deep),
        (deep, b"{}"),
        (b'{"alg":"HS256","kid":"sym"}', b"[]"),
        (b'{"alg":"HS256","kid":"sym","crit":["exp"]}', json.dumps(claims_at(clock)).encode()),
        (b'{"alg":"HS256","kid":"sym","b64":false}', json.dumps(claims_at(clock)).encode()),
    ):
        signed = f"{b64(header)}.{b64(payload)}"
        assert refusal(tokens, f"{signed}.{b64(by_secret()(signed.encode()))}") == "The token is not valid"


@settings(deadline=None)
@given(
    st.text(max_size=60), st.recursive(st.none() | st.booleans() | st.integers() | st.text(), st.lists, max_leaves=3)
)
def test_whatever_comes_is_answered_in_one_way(text: str, value: Any) -> None:
    clock = ManualClock()
    tokens = service(clock, SYMMETRIC)
    assert refusal(tokens, text) == "The token is not valid"
    header = {"alg": value, "kid": "sym"}
    assert refusal(tokens, forge(header, claims_at(clock), by_secret())) == "The token is not valid"
    assert refusal(tokens, forge(value, value, by_secret())) == "The token is not valid"


WEAK_PRIVATE, WEAK_PUBLIC = pem(generate_private_key(65537, 1024))
OTHER_PRIVATE, OTHER_PUBLIC = pem(Ed25519PrivateKey.generate())


@pytest.mark.parametrize(
    ("key", "path"),
    [
        (TokenKey("", "HS256", secret=SECRET), "kid"),
        (TokenKey("x", "none"), "algorithm"),
        (TokenKey("x", "HS512", secret=SECRET * 2), "algorithm"),
        (TokenKey("x", "HS256"), "secret"),
        (TokenKey("x", "HS256", secret="s" * 31), "secret"),
        (TokenKey("x", "HS256", secret=RSA_PUBLIC), "secret"),
        (TokenKey("x", "HS256", secret=SECRET, public_key=RSA_PUBLIC), "publicKey"),
        (TokenKey("x", "HS256", secret=SECRET, private_key=RSA_PRIVATE), "privateKey"),
        (TokenKey("x", "RS256"), "publicKey"),
        (TokenKey("x", "RS256", secret=SECRET, public_key=RSA_PUBLIC), "secret"),
        (TokenKey("x", "RS256", public_key="rubbish"), "publicKey"),
        (TokenKey("x", "RS256", public_key="\u00fc"), "publicKey"),
        (TokenKey("x", "RS256", public_key=RSA_PRIVATE), "publicKey"),
        (TokenKey("x", "RS256", private_key=RSA_PUBLIC), "privateKey"),
        (TokenKey("x", "RS256", public_key=ED_PUBLIC), "publicKey"),
        (TokenKey("x", "RS256", private_key=ED_PRIVATE), "privateKey"),
        (TokenKey("x", "EdDSA", public_key=RSA_PUBLIC), "publicKey"),
        (TokenKey("x", "EdDSA", private_key=RSA_PRIVATE), "privateKey"),
        (TokenKey("x", "RS256", public_key=WEAK_PUBLIC), "publicKey"),
        (TokenKey("x", "RS256", private_key=WEAK_PRIVATE), "privateKey"),
        (TokenKey("x", "EdDSA", public_key=OTHER_PUBLIC, private_key=ED_PRIVATE), "publicKey"),
    ],
)
def test_bad_key_material_is_refused_at_the_start(clock: ManualClock, key: TokenKey, path: str) -> None:
    with pytest.raises(ConfigError) as caught:
        service(clock, SYMMETRIC, key)
    assert caught.value.path == f"tokens.keys[1].{path}"
    for secret in filter(None, (key.secret, key.private_key.strip()[40:80])):
        assert secret not in caught.value.message


def test_two_keys_cannot_have_one_id(clock: ManualClock) -> None:
    with pytest.raises(ConfigError, match=r"^tokens.keys\[1\].kid: a name that no other key has, found 'sym'$"):
        service(clock, SYMMETRIC, SYMMETRIC)


def test_an_encrypted_private_key_is_refused(clock: ManualClock) -> None:
    encrypted = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"passphrase"),
    )
    with pytest.raises(ConfigError, match="an unencrypted private key in PEM"):
        service(clock, TokenKey("x", "EdDSA", private_key=encrypted.decode()))


@pytest.mark.parametrize("name", ["issuer", "audience"])
def test_issuer_and_audience_are_always_checked(clock: ManualClock, name: str) -> None:
    changes: dict[str, Any] = {name: ""}
    with pytest.raises(ConfigError, match=rf"^tokens\.{name}: "):
        TokenService(replace(TokenSettings((SYMMETRIC,)), **changes), clock)


def test_secrets_do_not_show(clock: ManualClock) -> None:
    keys = service(clock, SYMMETRIC, RSA)._keys
    assert SECRET not in repr(keys)
    assert SECRET not in repr(SYMMETRIC)
