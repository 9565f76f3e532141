"""Who are you, and prove it: the first words on every connection.  Pure: bytes in, bytes out.

::

    dialer                                         listener
      Hello      who, role, cluster, nonce     →   (with a keyed hash: no stranger)
                                               ←   Challenge   who, role, nonce, proof of the listener
      Proof      proof of the dialer, its      →
                 claim to its incarnation
                                               ←   Welcome     go on, and where a resumed session stands
                 (or a Refusal with its reason, at any point, then the end)

A proof is HMAC-SHA256, with the key of the dialer's role, over a label of the side and the transcript: both versions,
roles, incarnations, cluster id, nonces, session, and the fingerprint of the certificate when there is TLS.  So a proof
is worth nothing on another connection, in another role, in the other direction, or to somebody in the middle.

Guarantees: nothing but these five small structs is decoded before the peer is known, and no more than
:data:`MAX_HANDSHAKE` bytes are looked at.  A side whose secret is empty can prove nothing and asks for nothing; the
connection layer lets it do so on Unix sockets only, after the uid was checked.

This module never waits (the time limit is the connection's) and never decides what a peer may say afterwards.
"""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Final

import msgspec

from himalia.comm.introduction import (
    MAGIC,
    MAX_HANDSHAKE,
    PREFIX,
    Challenge,
    Hello,
    Introduction,
    Proof,
    Refusal,
    Welcome,
    decode,
    encode,
    frame,
    printable,
)
from himalia.comm.security import Credentials
from himalia.comm.strangers import LISTENED, describe
from himalia.errors import HandshakeError
from himalia.messages.parts import PROTOCOL
from himalia.names import PeerId

HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds that it may take (docs/design.md, Trust)."""

_NONCE_SIZE: Final = 32

SECRET_HELP: Final = (
    "The secret is in the cluster file of the user who started the cluster; "
    "give that file with --cluster-file or HIMALIA_CLUSTER_FILE."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Greeting:
    """What this side says of itself."""

    role: str
    incarnation: PeerId
    version: str = ""
    """Of the package, for texts only; the protocol number decides."""
    session: str = ""
    """Dialer only: id of the session it opens or resumes; empty where there is none (data plane)."""
    resume: bool = False
    received: int = 0
    """Dialer only: messages of a resumed session that it has."""
    listener: str = ""
    """Dialer only: incarnation that it expects to meet, if it knows."""
    name_secret: bytes = field(default=b"", repr=False)
    """Dialer only: known to this process alone; what it claims its incarnation with is made of this."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Peer:
    """What a peer that proved itself said."""

    role: str
    incarnation: PeerId
    version: str
    session: str = ""
    resume: bool = False
    received: int = 0
    """Messages of the session that the peer has."""
    holder_key: bytes = field(default=b"", repr=False)
    """Listening scheduler only: see :class:`Welcome`."""
    claim: bytes = field(default=b"", repr=False)
    """The same for each connection of the same process; whoever has another one only says that it is that peer."""

    def is_same_as(self, claim: bytes) -> bool:
        """Whether this is the process that showed ``claim`` when it was here first."""
        return hmac.compare_digest(self.claim, claim)


class Refused(HandshakeError):
    """Raised by the side that refuses; ``reply`` is what to send before closing."""

    def __init__(self, text: str, reply: bytes = b"") -> None:
        super().__init__(text)
        self.reply = reply


class _Handshake:
    """What both sides share: cutting the stream, counting bytes, refusing."""

    _strict = False
    """Whether bytes after a handshake message count too: a listener knows that none can come."""

    def __init__(self, credentials: Credentials, where: str, fingerprint: str) -> None:
        self._credentials = credentials
        self._where = where
        self._fingerprint = fingerprint
        self._buffer = bytearray()
        self._taken = 0
        self.leftover = b""
        """What the peer sent after its last handshake message; belongs to whatever comes next."""

    def _next(self, data: bytes) -> Introduction | None:
        """The next whole message, or None if more bytes are needed."""
        self._buffer += data
        # Before any length is believed: a stranger's first bytes would make an absurd one.
        start = bytes(self._buffer[: len(MAGIC)])
        if start != MAGIC[: len(start)]:
            raise self._describe_stranger(start)
        if len(self._buffer) < PREFIX.size:
            return None
        size = PREFIX.unpack_from(self._buffer)[1] + PREFIX.size
        # By the length that is claimed, too: nothing is collected that would be refused anyway.
        if self._taken + max(size, self._strict * len(self._buffer)) > MAX_HANDSHAKE:
            raise self._refuse(f"more than {MAX_HANDSHAKE} bytes before the peer is known")
        if len(self._buffer) < size:
            return None
        body = bytes(self._buffer[PREFIX.size : size])
        del self._buffer[:size]
        self._taken += size
        try:
            return decode(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            raise self._refuse("an unreadable handshake; is it a much older or newer himalia?") from None

    def receive(self, data: bytes) -> bytes:
        """Take what was read and return what to send; see ``peer`` for whether it is done.

        Raises
        ------
        Refused
            Send its ``reply`` and close.
        HandshakeError
            The other side refused; close.
        """
        message = self._next(data)
        if message is None:
            return b""
        if isinstance(message, Refusal):
            raise HandshakeError(f"{self._where} refused: {printable(message.reason, 600)}")
        return self._take(message)

    def _take(self, message: Introduction) -> bytes:
        """Return what to say to a message, or raise if it isn't its turn."""
        raise NotImplementedError

    def _describe_stranger(self, start: bytes) -> Refused:
        """Say that the peer isn't himalia; one that tries TLS gets an answer, to know at once that this isn't it."""
        if start[:1] in (b"\x15", b"\x16"):  # a TLS alert or hello
            text = f"{self._where} speaks TLS, this side does not"
            return Refused(text, frame(Refusal("this is not TLS")) if start[:1] == b"\x16" else b"")
        known = describe(bytes(self._buffer[:LISTENED]))
        if known:
            return Refused(f"something else than himalia is at {self._where}: {known}")
        return Refused(f"something else than himalia is at {self._where}: it begins with {start!r}")

    def _refuse(self, reason: str) -> Refused:
        """The error of this side; the peer is told the same."""
        return Refused(f"{self._where}: {reason}", frame(Refusal(reason)))

    def _keyed_hash(self, role: str, listener: str, content: list[object]) -> bytes:
        """The hash that needs a role's key to make: the key of this listener, where each has its own."""
        try:
            return hmac.digest(self._credentials.key(role, listener), encode(content), "sha256")
        except KeyError:
            raise self._refuse(
                f"one side has no key for the role {printable(role, 20)}; nodes that run workers get the cluster's "
                f".worker.json file, clients get the cluster file"
            ) from None

    def _proof(self, hello: Hello, challenge: Challenge, side: bytes, claim: bytes = b"") -> bytes:
        """The proof of one side over all that was said."""
        # The proof can't be over itself: both sides hash the challenge without it.
        said = msgspec.structs.replace(challenge, proof=b"")
        # The side, or a proof could be sent back as the other's; the fingerprint, since who listens in the middle shows
        # another certificate; the claim, so that nobody exchanges it on the way.
        content = [side, hello, said, self._fingerprint, claim]
        return self._keyed_hash(hello.role, challenge.incarnation, content)

    def _early(self, hello: Hello, listener: str) -> bytes:
        return self._keyed_hash(hello.role, listener, [_EARLY, msgspec.structs.replace(hello, early=b"")])

    def _check_proof(self, given: bytes, hello: Hello, challenge: Challenge, side: bytes, claim: bytes = b"") -> None:
        # Unix sockets only: there the kernel says whose process the peer is.
        if self._credentials.is_empty:
            return
        if not hmac.compare_digest(given, self._proof(hello, challenge, side, claim)):
            who = "the listener" if side == _LISTENER else "the caller"
            raise self._refuse(f"{who} has another secret than this cluster's. {SECRET_HELP}")

    def _check_same(self, other: Hello | Challenge, this: Greeting) -> None:
        """Refuse another wire or another cluster."""
        # First: of another protocol only the first four fields are certain to be where they are here.
        if other.protocol != PROTOCOL:
            raise self._refuse(
                f"himalia {other.version} speaks protocol {other.protocol}, himalia {this.version} speaks protocol "
                f"{PROTOCOL}; install the same version on both sides"
            )
        if other.cluster_id != self._credentials.cluster_id:
            mine, theirs = self._credentials.cluster_id, printable(other.cluster_id, 40)
            raise self._refuse(f"wrong cluster: one side is of {mine}, the other of {theirs}. {SECRET_HELP}")


_DIALER: Final = b"himalia dialer"
_LISTENER: Final = b"himalia listener"
_EARLY: Final = b"himalia hello"
_CLAIM: Final = b"himalia name"


class DialerHandshake(_Handshake):
    """The side that connects.

    Parameters
    ----------
    greeting : Greeting
        What to say.
    credentials : Credentials
        Of the cluster.
    roles : collection of str
        Roles that the listener may have.
    where : str
        Address, for texts.
    fingerprint : str
        Of the certificate that the listener showed, empty without TLS.
    """

    def __init__(
        self, greeting: Greeting, credentials: Credentials, roles: Collection[str], where: str, fingerprint: str = ""
    ) -> None:
        super().__init__(credentials, where, fingerprint)
        self._greeting = greeting
        self._roles = roles
        self._hello = Hello(
            PROTOCOL, greeting.version, greeting.role, credentials.cluster_id, greeting.incarnation,
            secrets.token_bytes(_NONCE_SIZE), greeting.session, greeting.resume, greeting.received,
        )  # fmt: skip
        self._challenge: Challenge | None = None
        self.peer: Peer | None = None
        """The listener, once this side may go on."""

    def start(self) -> bytes:
        """What to send first."""
        self._hello = msgspec.structs.replace(self._hello, early=self._early(self._hello, self._greeting.listener))
        return frame(self._hello)

    def _take(self, message: Introduction) -> bytes:
        match message:
            case Challenge() if self._challenge is None:
                return self._answer(message)
            case Welcome() if self._challenge is not None:
                self._finish(self._challenge, message)
                return b""
            case _:
                raise self._refuse("a handshake message out of order")

    def _answer(self, challenge: Challenge) -> bytes:
        self._check_same(challenge, self._greeting)
        if challenge.role not in self._roles:
            raise self._refuse(
                f"a {printable(challenge.role, 20)} listens there, expected {' or '.join(sorted(self._roles))}"
            )
        # Before ours is sent: a listener without the key gets no hash to try keys on.
        self._check_proof(challenge.proof, self._hello, challenge, _LISTENER)
        self._challenge = challenge
        claim = self._claim(challenge)
        reply = frame(Proof(self._proof(self._hello, challenge, _DIALER, claim), claim))
        return reply + self.receive(b"") if self._buffer else reply

    def _claim(self, challenge: Challenge) -> bytes:
        """What shows this listener, and no other, that we are the process of our incarnation."""
        secret = self._greeting.name_secret
        claim = [_CLAIM, self._credentials.cluster_id, challenge.incarnation, self._hello.incarnation]
        return hmac.digest(secret, encode(claim), "sha256") if secret else b""

    def _finish(self, challenge: Challenge, welcome: Welcome) -> None:
        self.peer = Peer(
            role=challenge.role,
            incarnation=PeerId(challenge.incarnation),
            version=challenge.version,
            session=self._hello.session,
            received=welcome.received,
            holder_key=welcome.holder_key,
        )
        # The listener may have sent its first frames right behind the welcome.
        self.leftover = bytes(self._buffer)


class ListenerHandshake(_Handshake):
    """The side that is connected to.

    Parameters
    ----------
    greeting, credentials, where, fingerprint
        As for :class:`DialerHandshake`; the fingerprint is that of the own certificate.
    roles : collection of str
        Roles that are let in.
    welcome : callable
        Called with the proven peer; returns what Welcome says, or raises HandshakeError to refuse.
    """

    _strict = True

    def __init__(
        self,
        greeting: Greeting,
        credentials: Credentials,
        roles: Collection[str],
        where: str,
        fingerprint: str = "",
        welcome: Callable[[Peer], Welcome] = lambda _: Welcome(0),
    ) -> None:
        super().__init__(credentials, where, fingerprint)
        self._greeting = greeting
        self._roles = roles
        self._welcome = welcome
        self._said: tuple[Hello, Challenge] | None = None
        self.peer: Peer | None = None
        """The dialer, once it proved itself and was welcomed."""
        self.is_known = False
        """Whether its first message came from somebody with the role's key, now or at some time."""

    def _take(self, message: Introduction) -> bytes:
        match message:
            case Hello() if self._said is None:
                return self._challenge(message)
            case Proof() if self._said is not None:
                return self._finish(*self._said, message)
            case _:
                raise self._refuse("a handshake message out of order")

    def _challenge(self, hello: Hello) -> bytes:
        mine = self._greeting
        self._check_same(hello, mine)
        if hello.role not in self._roles:
            raise self._refuse(f"a {printable(hello.role, 20)} has no business here; this is the {mine.role}'s door")
        # A nonce that comes twice would make an old proof good again.
        if not hello.incarnation or len(hello.nonce) < _NONCE_SIZE:
            raise self._refuse("an incomplete handshake")
        self.is_known = self._credentials.is_empty or hmac.compare_digest(
            hello.early, self._early(hello, mine.incarnation)
        )
        nonce = secrets.token_bytes(_NONCE_SIZE)
        challenge = Challenge(PROTOCOL, mine.version, mine.role, hello.cluster_id, mine.incarnation, nonce, b"")
        challenge = msgspec.structs.replace(challenge, proof=self._proof(hello, challenge, _LISTENER))
        self._said = hello, challenge
        return frame(challenge)

    def _finish(self, hello: Hello, challenge: Challenge, proof: Proof) -> bytes:
        self._check_proof(proof.proof, hello, challenge, _DIALER, proof.claim)
        peer = Peer(
            role=hello.role,
            incarnation=PeerId(hello.incarnation),
            version=hello.version,
            session=hello.session,
            resume=hello.resume,
            received=hello.received,
            claim=proof.claim,
        )
        # Not before the proof is good: a session can't be ended, or resumed, by somebody who only knows its name.
        try:
            welcome = self._welcome(peer)
        except HandshakeError as error:
            raise self._refuse(str(error)) from error
        # Only who has the cluster's secret can make this key: the scheduler. A nanny so never learns what opens the
        # doors of others.
        if peer.role == "nanny" and self._credentials.secret:
            key = self._credentials.key("data-client", peer.incarnation)
            welcome = msgspec.structs.replace(welcome, holder_key=key)
        self.peer = peer
        self.leftover = bytes(self._buffer)
        return frame(welcome)
