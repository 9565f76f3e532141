"""What proves who a peer is: the cluster's secret, and its certificate.

This module makes and checks them; when they are shown is the handshake's business, and no file or socket is touched.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Final, NoReturn, SupportsIndex

SECRET_SIZE: Final = 32
"""Bytes of a cluster's secret: as many as the HMAC-SHA256 that it feeds can use."""

_VALID_DAYS: Final = 3650
"""Days a cluster's certificate says it is valid.  Nobody checks: it is pinned, and as old as its cluster at most."""


CLIENT_ROLES: Final = ("client", "data-client")
"""What the holder of a cluster file may be."""
WORKER_ROLES: Final = ("nanny", "data-nanny")
"""What a node that runs workers may be."""
HELD_ROLES: Final = ("data-client",)
"""Roles with a key for each listener: it checks its clients with that one, and can't be a client elsewhere."""


NAME_SECRET: Final = secrets.token_bytes(32)
"""Known to this process alone: what it shows to claim that it is the process of an incarnation is made of this."""


class Secret(bytes):
    """Bytes that are used here and go nowhere: no repr, pickle or copy shows them."""

    def __repr__(self) -> str:
        return "***"

    def __str__(self) -> str:
        return "***"

    def __reduce__(self) -> NoReturn:
        raise secret_stays("A cluster's secret")

    def __reduce_ex__(self, protocol: SupportsIndex) -> NoReturn:
        raise secret_stays("A cluster's secret")

    def __deepcopy__(self, memo: object) -> NoReturn:
        raise secret_stays("A cluster's secret")


def secret_stays(what: str) -> TypeError:
    """The error for somebody who is about to take a secret out of this process."""
    return TypeError(
        f"{what} can't be pickled or copied: whoever reads the copy could use the cluster. "
        f"A program on another machine gets in with the cluster's file; a task needs nothing of it."
    )


@dataclass(frozen=True, slots=True)
class Credentials:
    """What a process must have to be let into a cluster; no repr, pickle or copy of it shows a secret."""

    cluster_id: str
    secret: bytes = field(repr=False)
    """All roles' keys are made of it, so the scheduler alone has it; who has only ``keys`` has an empty one."""
    fingerprint: str = ""
    """SHA-256 of the scheduler's certificate, hex; empty: not pinned, the secret's proof alone binds the channel."""
    keys: Mapping[str, bytes] = field(default_factory=dict, repr=False)
    """Keys of the roles that the holder may have, where it has no secret."""

    def __post_init__(self) -> None:
        # The class is frozen. Wrapped here, so that no caller can forget it.
        object.__setattr__(self, "secret", Secret(self.secret))
        object.__setattr__(self, "keys", {role: Secret(key) for role, key in self.keys.items()})

    def __reduce__(self) -> NoReturn:
        raise secret_stays("Credentials")

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing to prove but the uid, which Unix sockets alone accept."""
        return not self.secret and not self.keys

    def key(self, role: str, holder: str = "") -> bytes:
        """The key of a role, for roles of :data:`HELD_ROLES` at one holder; KeyError if it isn't among ours."""
        if holder and role in HELD_ROLES:
            known = self.keys.get(f"{role}@{holder}")
            # Clients, which have the role's key, make each host's; a host has its own alone, and can't be a client
            # elsewhere with it.
            return known or hmac.digest(self.key(role), b"himalia holder 1:" + holder.encode(), "sha256")
        if self.secret or self.is_empty:
            return role_key(self.secret, role)
        return self.keys[role]

    def only_for(self, roles: Iterable[str]) -> Credentials:
        """Credentials that are good for these roles and tell nothing of the others' keys."""
        if self.is_empty:
            return self
        # Without the secret, of which every role's key can be made.
        return Credentials(self.cluster_id, b"", self.fingerprint, {role: self.key(role) for role in roles})

    def with_key(self, role: str, holder: str, key: bytes) -> Credentials:
        """The same with one more key, as :meth:`key` names it."""
        return replace(self, keys={**self.keys, f"{role}@{holder}": key})

    def to_config(self) -> dict[str, str | dict[str, str]]:
        """What a started process reads on its standard input, or a file of mode 0600 holds; never log it."""
        keys = {role: key.hex() for role, key in self.keys.items()}
        return {
            "cluster_id": self.cluster_id, "secret": self.secret.hex(), "fingerprint": self.fingerprint, "keys": keys
        }  # fmt: skip

    @classmethod
    def from_config(cls, config: Mapping[str, Any]) -> Credentials:
        """Read what :meth:`to_config` returned."""
        keys = {role: bytes.fromhex(key) for role, key in config.get("keys", {}).items()}
        return cls(config["cluster_id"], bytes.fromhex(config["secret"]), config.get("fingerprint", ""), keys)


def new_credentials() -> Credentials:
    """The credentials of a new cluster."""
    return Credentials(secrets.token_hex(8), secrets.token_bytes(SECRET_SIZE))


def role_key(secret: bytes, role: str) -> bytes:
    """The key that a peer of that role proves to have; it tells nothing of the other roles' keys."""
    # With a label and a number, so that a key for another purpose, or of a later scheme, is another one.
    return hmac.digest(secret, b"himalia role key 1:" + role.encode(), "sha256")


@dataclass(frozen=True, slots=True)
class ServerCertificate:
    """A certificate and its key; its repr shows no key."""

    certificate_pem: str
    key_pem: str = field(repr=False)
    fingerprint: str
    """SHA-256 of the certificate's DER form, hex: what peers pin."""

    def __reduce__(self) -> NoReturn:
        raise secret_stays("A certificate's key")

    def to_config(self) -> dict[str, str]:
        """What a started process reads on its standard input; never log it."""
        return {"certificate_pem": self.certificate_pem, "key_pem": self.key_pem, "fingerprint": self.fingerprint}

    @classmethod
    def from_config(cls, config: Mapping[str, str]) -> ServerCertificate:
        """Read what :meth:`to_config` returned."""
        return cls(config["certificate_pem"], config["key_pem"], config["fingerprint"])


def fingerprint(der: bytes) -> str:
    """The fingerprint of a certificate in its DER form."""
    return hashlib.sha256(der).hexdigest()


def make_certificate(names: Iterable[str] = ()) -> ServerCertificate:
    """Make a self-signed certificate of a new key, for a listener that its peers know by ``names`` (hosts or IPs).

    Raises
    ------
    ImportError
        If ``cryptography`` is not installed; only who listens beyond loopback needs it.
    """
    # Not at the top: who listens on loopback only doesn't need `cryptography`, and may not have it.
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


def _general_name(text: str) -> x509.GeneralName:
    import ipaddress

    from cryptography import x509

    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)


if TYPE_CHECKING:
    from cryptography import x509
