"""Key material of ``tokens.keys``, loaded and checked before the server starts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import TypeAlias

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from users_server.errors import ConfigError
from users_server.services.settings import TokenKey

PrivateKey: TypeAlias = RSAPrivateKey | Ed25519PrivateKey
PublicKey: TypeAlias = RSAPublicKey | Ed25519PublicKey

ALGORITHMS = ("HS256", "RS256", "EdDSA")
MIN_SECRET_BYTES = 32
"""RFC 7518, 3.2: as long as the hash."""

MIN_RSA_BITS = 2048


@dataclass(frozen=True, slots=True)
class LoadedKey:
    """A key that is ready for use. ``signing`` is empty for one that can only verify."""

    kid: str
    algorithm: str
    verifying: PublicKey | str = field(repr=False)
    signing: PrivateKey | str = field(repr=False)

    @property
    def can_sign(self) -> bool:
        return self.signing != ""


def load_keys(keys: Iterable[TokenKey]) -> dict[str, LoadedKey]:
    """The keys by ``kid``, in the order of the configuration. Raises :class:`ConfigError` for the first bad one."""
    loaded: dict[str, LoadedKey] = {}
    for index, key in enumerate(keys):
        path = f"tokens.keys[{index}]"
        if not key.kid:
            raise ConfigError(f"{path}.kid", "a name that is not empty", '""')
        if key.kid in loaded:
            raise ConfigError(f"{path}.kid", "a name that no other key has", repr(key.kid))
        if key.algorithm not in ALGORITHMS:
            raise ConfigError(f"{path}.algorithm", f"one of {', '.join(ALGORITHMS)}", repr(key.algorithm))
        loaded[key.kid] = _load_secret(path, key) if key.algorithm == "HS256" else _load_pair(path, key)
    return loaded


def _load_secret(path: str, key: TokenKey) -> LoadedKey:
    for name, value in (("publicKey", key.public_key), ("privateKey", key.private_key)):
        if value:
            raise ConfigError(f"{path}.{name}", "nothing, since HS256 has a secret only")
    length = len(key.secret.encode("utf-8", "surrogatepass"))
    if length < MIN_SECRET_BYTES:
        raise ConfigError(f"{path}.secret", f"at least {MIN_SECRET_BYTES} bytes of random text", f"{length}")
    if "-----BEGIN" in key.secret:
        raise ConfigError(f"{path}.secret", "random text", "a PEM key", hint="Set the algorithm RS256 or EdDSA for it")
    return LoadedKey(key.kid, key.algorithm, key.secret, key.secret)


def _load_pair(path: str, key: TokenKey) -> LoadedKey:
    if key.secret:
        raise ConfigError(f"{path}.secret", f"nothing, since {key.algorithm} has a key pair")
    private = _private(f"{path}.privateKey", key) if key.private_key else None
    public = _public(f"{path}.publicKey", key) if key.public_key else None
    if private is not None:
        derived = private.public_key()
        if public is not None and public != derived:
            raise ConfigError(f"{path}.publicKey", "the public half of privateKey", "another key")
        return LoadedKey(key.kid, key.algorithm, derived, private)
    if public is None:
        raise ConfigError(f"{path}.publicKey", "a public key in PEM, or a private one as privateKey", "neither")
    return LoadedKey(key.kid, key.algorithm, public, "")


def _private(path: str, key: TokenKey) -> PrivateKey:
    try:
        loaded = serialization.load_pem_private_key(key.private_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(path, "an unencrypted private key in PEM", "something else") from error
    if key.algorithm == "RS256" and isinstance(loaded, RSAPrivateKey):
        _check_size(path, loaded.key_size)
        return loaded
    if key.algorithm == "EdDSA" and isinstance(loaded, Ed25519PrivateKey):
        return loaded
    raise ConfigError(path, f"a private key for {key.algorithm} ({_kind(key)})", "a key of another kind")


def _public(path: str, key: TokenKey) -> PublicKey:
    try:
        loaded = serialization.load_pem_public_key(key.public_key.encode())
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise ConfigError(path, "a public key in PEM", "something else") from error
    if key.algorithm == "RS256" and isinstance(loaded, RSAPublicKey):
        _check_size(path, loaded.key_size)
        return loaded
    if key.algorithm == "EdDSA" and isinstance(loaded, Ed25519PublicKey):
        return loaded
    raise ConfigError(path, f"a public key for {key.algorithm} ({_kind(key)})", "a key of another kind")


def _kind(key: TokenKey) -> str:
    return "RSA" if key.algorithm == "RS256" else "Ed25519"


def _check_size(path: str, bits: int) -> None:
    if bits < MIN_RSA_BITS:
        raise ConfigError(path, f"an RSA key of at least {MIN_RSA_BITS} bits", f"{bits} bits")
