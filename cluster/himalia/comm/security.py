"""What proves who a peer is: the cluster's secret, its certificate, the uid at the other end of a Unix socket.

This module makes and checks them; it decides nothing about a conversation and writes no file that stays.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import socket
import struct
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl

SECRET_SIZE: Final = 32
"""Bytes of a cluster's secret: as many as the HMAC-SHA256 that it feeds can use."""

_VALID_DAYS: Final = 3650
"""Days a cluster's certificate says it is valid.  Nobody checks: it is pinned, and as old as its cluster at most."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a process must have to be let into a cluster; its repr shows no secret."""

    cluster_id: str
    secret: bytes = field(repr=False)
    """Empty: nothing to prove but the uid, which Unix sockets alone accept."""
    fingerprint: str = ""
    """SHA-256 of the scheduler's certificate, hex; empty: not pinned, the secret's proof alone binds the channel."""

    def to_config(self) -> dict[str, str]:
        """Return what a started process reads on its standard input, or a file of mode 0600 holds; never log it."""
        return {"cluster_id": self.cluster_id, "secret": self.secret.hex(), "fingerprint": self.fingerprint}

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> Credentials:
        """Read what :meth:`to_config` returned."""
        return cls(config["cluster_id"], bytes.fromhex(config["secret"]), config.get("fingerprint", ""))


def new_credentials() -> Credentials:
    """Return the credentials of a new cluster."""
    return Credentials(secrets.token_hex(8), secrets.token_bytes(SECRET_SIZE))


def role_key(secret: bytes, role: str) -> bytes:
    """Return the key that a peer of that role proves to have; it tells nothing of the other roles' keys."""
    return hmac.digest(secret, b"himalia role key 1:" + role.encode(), "sha256")


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate and its key; its repr shows no key."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    fingerprint: str
    """SHA-256 of the certificate's DER form, hex: what peers pin."""

    def to_config(self) -> dict[str, str]:
        """Return what a started process reads on its standard input; never log it."""
        return {"certificate_pem": self.certificate_pem, "key_pem": self.key_pem, "fingerprint": self.fingerprint}

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> ServerCertificate:
        """Read what :meth:`to_config` returned."""
        return cls(config["certificate_pem"], config["key_pem"], config["fingerprint"])


def fingerprint(der: bytes) -> str:
    """Return the fingerprint of a certificate in its DER form."""
    return hashlib.sha256(der).hexdigest()


def make_certificate(names: Iterable[str] = ()) -> ServerCertificate:
    """Make a self-signed certificate of a new key, for a listener that its peers know by ``names`` (hosts or IPs).

    Raises
    ------
    ImportError
        If ``cryptography`` is not installed; only who listens beyond loopback needs it.
    """
    import datetime

    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    known_as = x509.SubjectAlternativeName([_general_name(text) for text in names or ("localhost",)])
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "himalia cluster")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=_VALID_DAYS))
        .add_extension(known_as, critical=False)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding
    key_pem = key.private_bytes(encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    der = certificate.public_bytes(encoding.DER)
    return ServerCertificate(certificate.public_bytes(encoding.PEM).decode(), key_pem.decode(), fingerprint(der))


def server_context(certificate: ServerCertificate) -> ssl.SSLContext:
    """Return the TLS 1.3 context of a listener."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.NamedTemporaryFile("w", prefix="himalia-") as file:  # the API takes paths only; 0600, gone at once
        file.write(certificate.certificate_pem + certificate.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def client_context() -> ssl.SSLContext:
    """Return the TLS 1.3 context of a dialer; it trusts no authority, the caller compares the fingerprint."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def peer_uid(fileno: int) -> int:
    """Return the uid of the process at the other end of a connected Unix socket.

    Raises
    ------
    OSError
        If the system doesn't say; such a peer is not to be trusted.
    """
    with socket.socket(fileno=os.dup(fileno)) as sock:
        if sys.platform == "linux":
            credentials = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("iII"))
            return int(struct.unpack("iII", credentials)[1])
        # struct xucred of macOS and the BSDs: version, uid, …; SOL_LOCAL is 0 and LOCAL_PEERCRED is 1 there
        return int(struct.unpack_from("II", sock.getsockopt(0, 1, 76))[1])


def _general_name(text: str) -> x509.GeneralName:
    import ipaddress

    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


if TYPE_CHECKING:
    from cryptography import x509
