"""Starting servers for tests, on plain TCP and under TLS."""

from __future__ import annotations

import datetime
import ipaddress
import itertools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.server_process import ServerProcess, make_config

CONFORMANCE = ("--conformance",)


@dataclass(frozen=True)
class Certificate:
    """PEM files of a certificate for localhost that signs itself."""

    certificate: Path
    key: Path


def make_certificate(directory: Path) -> Certificate:
    """A new one, with its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    alternatives = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    )
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(alternatives, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = Certificate(directory / "certificate.pem", directory / "key.pem")
    files.certificate.write_bytes(signed.public_bytes(serialization.Encoding.PEM))
    files.key.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return files


@dataclass
class Launcher:
    """Starts servers that live as long as the module; asking again for the same config gives the same server."""

    directory: Path
    certificate: Certificate

    def __post_init__(self) -> None:
        self.servers: dict[str, ServerProcess] = {}
        self._numbers = itertools.count()

    def __call__(
        self,
        *,
        tls: bool = False,
        fresh: bool = False,
        arguments: tuple[str, ...] = ("--conformance",),
        **sections: Any,
    ) -> ServerProcess:
        """``fresh`` makes a server of its own, for a test that ends it or counts its connections."""
        name = json.dumps([tls, arguments, sections, next(self._numbers) if fresh else None], sort_keys=True)
        if name not in self.servers:
            directory = self.directory / f"server{next(self._numbers)}"
            directory.mkdir()
            if tls:
                files = {"certificate": str(self.certificate.certificate), "key": str(self.certificate.key)}
                sections["tls"] = files
            authority = self.certificate.certificate if tls else None
            config = make_config(directory, **sections)
            self.servers[name] = ServerProcess(config, directory, arguments=arguments, authority=authority).start()
        return self.servers[name]

    def check_logs(self) -> None:
        for server in self.servers.values():
            if server.is_running:
                server.check_log()

    def stop(self) -> None:
        """Stop all, and only then fail for what one of them did."""
        failures = []
        for server in self.servers.values():
            try:
                server.stop()
            except AssertionError as error:
                failures.append(str(error))
        assert not failures, "\n".join(failures)
