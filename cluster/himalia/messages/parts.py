"""What messages are made of, and the few that every pair of roles exchanges.

A message is a fact or a wish, never a decision.  Tags are small integers, unique in this package and never reused; a
changed or removed field is a new ``PROTOCOL`` number.  User bytes (functions, calls, results) are opaque here.
"""

from __future__ import annotations

from typing import Final

import msgspec

from himalia.bounds import Amount, Blob, Count, Difference, Few, FewOf, ManyOf, Name, Serial, Table, Text
from himalia.names import Digest, HostId, Key, WorkerName

PROTOCOL: Final = 4
"""Number of this wire; peers with different numbers refuse each other at the handshake."""


# By position (array_like): names would be most of a small message, and only PROTOCOL tells which field is which, so
# new ones go to the end, with a default.  Without gc: none is ever a part of a circle, and the collector
# needn't look at them.
class Part(msgspec.Struct, array_like=True, gc=False):
    """Something that messages are made of; never changed once made."""


class Message(msgspec.Struct, array_like=True, gc=False):
    """Base of all that crosses a wire; never changed once made."""


class TaskOptions(Part):
    """What a user asked for one call, beyond calling it."""

    priority: Difference = 0.0
    """Higher runs earlier."""
    retries: Count = 0
    """How often an exception is answered by another attempt."""
    workers: FewOf[Name] = ()
    """Worker names, worker addresses, host names or nanny addresses it may run on; empty: any."""
    allow_other_workers: bool = False
    """Whether ``workers`` is a wish only."""
    resources: Table[Name, Amount] = {}
    """What it occupies of a worker's declared resources while it runs."""
    origin: Text = ""
    """What a name that the user chose stands for, by which calls of one key are compared (``packing/origin.py``)."""


class TaskSpec(Part):
    """One call, as its client describes it."""

    key: Key
    group: Name
    """Name that tasks of one kind share: the function's name, or the layer of a collection."""
    function: Blob
    """Digest of the function, sent before as :class:`FunctionBody`; empty if ``call`` carries the function itself."""
    call: Blob
    """Packed pickle of ``(args, kwargs)``, or of ``(function, args, kwargs)``; empty if ``argument`` holds it."""
    dependencies: ManyOf[Key]
    """Keys whose values ``call`` refers to (``argument`` included)."""
    order: Serial
    """Rank within its submission; lower runs earlier."""
    wanted: bool
    """Whether the client holds a future of it."""
    argument: Name = ""
    """Key of placed data that holds the pickle of the call, where that is too large for a message."""
    # None for nearly all calls, which is one byte.
    options: TaskOptions | None = None


class Frame(Part):
    """One line of a traceback; the source line is looked up where it is shown."""

    filename: Text
    line: Count
    function: Text
    first: Count = 1
    """Line where the function begins: IPython counts from it."""


class TaskError(Part):
    """How a call ended that has no result."""

    kind: Name
    """``exception`` (user code raised), ``killed`` (took its worker down), ``lost`` (data are gone), ``full`` (they
    can never be in a store together), ``refused``."""
    key: Key
    """The key that failed; dependents carry the error of their root cause."""
    text: Text
    """One or a few lines for a person: what, where, why, what next."""
    exception: Blob = b""
    """Packed pickle of the exception; empty if it could not be pickled or there is none."""
    # Beside the pickle: a scheduler tells equal errors by these, and unpickles nothing.
    frames: FewOf[Frame] = ()
    """Traceback from the outermost user frame to where it was raised."""
    worker: Name = ""
    attempts: Count = 1


class Timing(Part):
    """Where the time of one call went; seconds, ``start`` in seconds since the epoch of the worker's clock."""

    start: Difference
    deserialize: Amount
    compute: Amount
    serialize: Amount
    thread: Count = 0
    """Index of the worker's thread, from 0."""
    transfer: Amount = 0.0
    """Seconds its nanny waited for inputs of other hosts."""
    moved: Count = 0
    """Bytes of inputs that were fetched from other hosts for it."""


class Dependency(Part):
    """An input of a call, and which hosts hold it."""

    key: Key
    attempt: Serial
    nbytes: Count
    holders: FewOf[HostId]


class WorkerInfo(Part):
    """A worker process, as its nanny describes it."""

    name: WorkerName
    address: Text
    pid: Count
    nthreads: Count
    memory_limit: Count
    """Bytes of its own memory (results are not in it); 0: unlimited."""
    local_directory: Text
    resources: Table[Name, Amount] = {}


class HostInfo(Part):
    """A nanny and its host, as it describes itself."""

    host: HostId
    address: Text
    """Where its data listener is: ``unix://…``, ``tcp://…`` or ``tls://…``."""
    hostname: Name
    pid: Count
    machine: Name
    """Identity of the running machine and user; peers with the same one may map the arena."""
    arena: Text
    """Path of the store's arena, to be opened by processes of the same machine and user."""
    memory_limit: Count
    """Bytes the store may hold in memory."""
    local_directory: Text
    fingerprint: Name = ""
    """SHA-256 of the certificate of ``address``, hex, if that is ``tls://``."""
    name: Name = ""
    """What the nanny was called by its user; workers are named after it."""
    versions: Table[Name, Text] = {}
    directory: Text = ""
    """Where its workers begin, and with which ``sys_path``, as their creator said; empty: nobody did."""
    sys_path: Few[Text] = []


class HeldData(Part):
    """A result in a nanny's store."""

    key: Key
    attempt: Serial
    nbytes: Count


# Both ways; so is ``Reply``, in ``answers.py``


class FunctionBody(Message, tag=1):
    """A function's pickle, sent once to a peer and named by its digest from then on."""

    # A name that its content makes: two clients with the same function send the same.
    digest: Digest
    body: Blob


class ForgetFunctions(Message, tag=2):
    """The sender will define these again before it names them again."""

    digests: Few[Digest]


class HostsChanged(Message, tag=4):
    """Which hosts joined (or changed) and which left; sent to clients and nannies, all of them first."""

    joined: Few[HostInfo]
    left: Few[HostId]


class Close(Message, tag=5):
    """Please end: sent by a scheduler to nannies and clients, by a client to shut the cluster down."""

    # For people: it is what every future that ends by it will say.
    reason: Text
