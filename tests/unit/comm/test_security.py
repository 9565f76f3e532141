"""Secrets, certificates, uids."""

from __future__ import annotations

import os
import socket
import ssl

from himalia.comm.security import (
    Credentials,
    ServerCertificate,
    fingerprint,
    make_certificate,
    new_credentials,
    role_key,
)
from himalia.comm.sockets import peer_uid


def test_no_repr_shows_a_secret() -> None:
    credentials = new_credentials()
    certificate = make_certificate(["localhost"])
    assert credentials.secret.hex() not in repr(credentials)
    assert repr(credentials.secret) not in repr(credentials)
    assert "PRIVATE" not in repr(certificate)


def test_two_clusters_share_nothing() -> None:
    one, other = new_credentials(), new_credentials()
    assert one.secret != other.secret
    assert one.cluster_id != other.cluster_id
    assert len(one.secret) == 32


def test_each_role_has_a_key_of_its_own() -> None:
    secret = b"s" * 32
    assert len({role_key(secret, role) for role in ("client", "nanny", "data-client", "data-nanny")}) == 4


def test_credentials_and_certificates_travel_as_plain_text() -> None:
    credentials = new_credentials()
    certificate = make_certificate(["node7", "10.0.0.7", "::1"])
    assert Credentials.from_config(credentials.to_config()) == credentials
    assert ServerCertificate.from_config(certificate.to_config()) == certificate


def test_a_fingerprint_is_that_of_the_der_form() -> None:
    certificate = make_certificate()
    assert certificate.fingerprint == fingerprint(ssl.PEM_cert_to_DER_cert(certificate.certificate_pem))


def test_the_uid_of_a_unix_socket_s_peer_is_known() -> None:
    here, there = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
    with here, there:
        assert peer_uid(here.fileno()) == os.geteuid()
