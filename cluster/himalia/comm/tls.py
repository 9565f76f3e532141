"""TLS as both sides of a connection want it: version 1.3, with the certificate of this cluster and no other."""

from __future__ import annotations

import ssl
import tempfile

from himalia.comm.security import ServerCertificate


def server_context(certificate: ServerCertificate) -> ssl.SSLContext:
    """The TLS 1.3 context of a listener."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    with tempfile.NamedTemporaryFile("w", prefix="himalia-") as file:  # the API takes paths only; 0600, gone at once
        file.write(certificate.certificate_pem + certificate.key_pem)
        file.flush()
        context.load_cert_chain(file.name)
    return context


def client_context() -> ssl.SSLContext:
    """The TLS 1.3 context of a dialer; it trusts no authority, the caller compares the fingerprint."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    # Names and authorities say nothing here: the certificate is the cluster's own, known by its fingerprint, and the
    # handshake proves the rest over the same channel.
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context
