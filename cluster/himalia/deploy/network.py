"""Which address of this host to listen at, and by which one others find it.

It opens no connection: which way leads to the network is asked of the routing table, by a UDP socket that never sends.
"""

from __future__ import annotations

import socket
from typing import Final

from himalia.comm.addresses import Address, is_loopback, parse
from himalia.comm.security import Credentials, ServerCertificate, make_certificate, new_credentials
from himalia.errors import StartError, UsageError

LOOPBACK: Final = "127.0.0.1"
EVERYWHERE: Final = ("0.0.0.0", "::", "")  # compared with, never listened at by itself


def interface_host(interface: str) -> str:
    """Return the address of a network interface, the IPv4 one if it has both.

    Raises
    ------
    UsageError
        If there is no such interface, or it has no address.
    """
    # Not above: only who names an interface needs it.
    import psutil

    interfaces = psutil.net_if_addrs()
    if interface not in interfaces:
        raise UsageError(f"There is no network interface {interface!r}; this host has {', '.join(sorted(interfaces))}.")
    for family in (socket.AF_INET, socket.AF_INET6):
        for address in interfaces[interface]:
            if address.family == family:
                # psutil writes a link-local address with its interface (fe80::1%eth0).
                return str(address.address).partition("%")[0]
    raise UsageError(f"The network interface {interface!r} has no address.")


def contact_host(host: str) -> str:
    """Return where others reach what listens at ``host``: itself, or for "everywhere" this host's own address."""
    if host not in EVERYWHERE:
        return host
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))  # a documentation address: whatever has a default route finds a way
            return str(probe.getsockname()[0])
        except OSError:
            # No network at all: the host is alone with itself.
            return LOOPBACK


def contact_addresses(address: str) -> list[str]:
    """Return ``address`` as others have to write it, the nearest first."""
    found = parse(address)
    if found.scheme == "unix" or found.host not in EVERYWHERE:
        return [address]
    # The same host may be its own contact, where there is no network: each is named once.
    hosts = dict.fromkeys([LOOPBACK, contact_host(found.host)])
    return [str(Address(found.scheme, host, found.port)) for host in hosts]


def listen_address(host: str, port: int) -> str:
    """Return the address of a listener: plain TCP on loopback, TLS anywhere else."""
    address = str(Address("tcp", host, port))
    return address if is_loopback(address) else str(Address("tls", host, port))


def secure(addresses: list[str]) -> tuple[Credentials, ServerCertificate | None]:
    """Return credentials for a new cluster that listens there, with a certificate if one of them needs TLS.

    Raises
    ------
    StartError
        If a certificate is needed and can't be made.
    """
    # The fingerprint is a part of what clients know, so the certificate is made with the keys and not by the scheduler.
    credentials = new_credentials()
    hosts = [parse(address).host for address in addresses if address.startswith("tls://")]
    if not hosts:
        return credentials, None
    # Whatever people may write to get here; peers go by the fingerprint.
    names = dict.fromkeys([*hosts, *map(contact_host, hosts), socket.gethostname()])
    try:
        certificate = make_certificate([name for name in names if name])
    except ImportError:
        needs = "needs a certificate, and the package that makes one is missing: pip install cryptography"
        raise StartError(f"Listening at {addresses[0]} {needs}") from None
    return Credentials(credentials.cluster_id, credentials.secret, certificate.fingerprint), certificate


def route_host(target: str) -> str:
    """Return the address of this host that packets to ``target`` leave by, and where it can answer."""
    try:
        # Port 9 is "discard": any number will do, for nothing is sent.
        family, kind, _, _, where = socket.getaddrinfo(target, 9, type=socket.SOCK_DGRAM)[0]
        with socket.socket(family, kind) as probe:
            probe.connect(where)
            return str(probe.getsockname()[0]).partition("%")[0]
    except OSError:
        # A name that isn't known, a network that is down: the default route is the next best guess.
        return contact_host("")
