"""Every error that a user can meet.  Fields keep the facts; the text says what, where, why, and what next.

::

    HimaliaError
    ├── UsageError (ValueError)            a call or option that can't mean anything
    ├── ClusterNotFoundError (LookupError) no running cluster of that name
    ├── ConnectError (OSError)             nobody there, or not who was expected
    │   ├── HandshakeError                 refused: wrong secret, cluster, version or role
    │   └── UnreachableError               nobody answered in time
    ├── ClosedError (RuntimeError)         the client or cluster was closed
    ├── StartError (RuntimeError)          a process of the cluster did not start
    ├── ScaleError (RuntimeError)          a host doesn't keep as many workers as it was asked for
    ├── CallError                          a call ended without a result of its own:
    │   ├── KilledWorkerError              it took down its worker, several times
    │   ├── DataLostError                  its data died with their host and can't be recomputed
    │   ├── NoSuitableWorkerError          no worker may ever run it
    │   └── RemoteError                    its exception could not be brought here
    ├── CancelledError (concurrent.futures.CancelledError)
    ├── StoreFullError (MemoryError)       neither memory nor disk has room
    ├── StoreDamagedError (OSError)        a result on disk is no longer what was written
    ├── RecordingError (OSError)           a recording that can't be written or read
    └── TimeoutError (builtin TimeoutError)
"""

from __future__ import annotations

import builtins
import concurrent.futures

from himalia.names import shorten


class HimaliaError(Exception):
    """Base of all errors that himalia itself raises."""


class UsageError(HimaliaError, ValueError):
    """A call or an option that can't mean anything."""


class ClusterNotFoundError(HimaliaError, LookupError):
    """No running cluster has that name."""


class ConnectError(HimaliaError, OSError):
    """No session with that peer."""


class HandshakeError(ConnectError):
    """The peer is there, but one of the two sides refused: wrong secret, cluster, version or role."""


class UnreachableError(ConnectError):
    """Nobody answered at that address in time."""


class ClosedError(HimaliaError, RuntimeError):
    """The client or cluster was closed; whatever was asked of it can't be answered any more."""


class StartError(HimaliaError, RuntimeError):
    """A process of the cluster did not start; the text carries its last lines."""


class ScaleError(HimaliaError, RuntimeError):
    """A host doesn't keep as many workers as it was asked for.

    Attributes
    ----------
    problems : dict of str to str
        By nanny address: why it doesn't, in its own words.
    """

    def __init__(self, text: str, problems: dict[str, str] | None = None) -> None:
        super().__init__(text)
        self.problems = problems or {}


class CallError(HimaliaError):
    """A call ended without a result and without an exception of its own.

    Attributes
    ----------
    key : str
        The key that failed; for a dependent that is its root cause.
    """

    def __init__(self, text: str, key: str = "") -> None:
        super().__init__(text)
        self.key = key

    def __reduce__(self) -> tuple[type[CallError], tuple[str, str]]:
        # Pickle would call the class with ``args``, the text alone, and forget the key.
        return type(self), (str(self), self.key)


class KilledWorkerError(CallError, RuntimeError):
    """The call was running each time a worker process died, often enough to be blamed for it (``settings.strikes``)."""


class DataLostError(CallError, RuntimeError):
    """The value was only on a host that died, and was scattered, not computed."""


class NoSuitableWorkerError(CallError, RuntimeError):
    """No worker of the cluster may ever run the call."""


class RemoteError(CallError, RuntimeError):
    """The call raised something that could not be pickled or unpickled; the text has what is known of it."""


class CancelledError(HimaliaError, concurrent.futures.CancelledError):
    """The future was cancelled, by this client or another."""


class StoreFullError(HimaliaError, MemoryError):
    """The store has no room for a value, in memory or on disk.

    Attributes
    ----------
    needed, available : int
        Bytes.
    """

    def __init__(self, text: str, needed: int = 0, available: int = 0) -> None:
        super().__init__(text)
        self.needed = needed
        self.available = available


class TimeoutError(HimaliaError, builtins.TimeoutError):  # the name that users catch, kept from the builtin
    """Something took longer than the caller was willing to wait; it goes on."""


class RecordingError(HimaliaError, OSError):
    """A recording of telemetry could not be written, or a file isn't one that can be read."""


class StoreDamagedError(HimaliaError, OSError):
    """A result that was moved to disk can't be read any more, or is not what was written.

    Attributes
    ----------
    key : str
        The result.
    attempt : int
        Which attempt made it.
    """

    def __init__(self, text: str, key: str = "", attempt: int = 0) -> None:
        super().__init__(text)
        self.key = key
        self.attempt = attempt


def killed_text(key: str, worker: str, tries: int, exit: str, log: list[str]) -> str:
    """Describe a call that killed its workers, with the evidence."""
    # The last ten: the whole log is asked for by get_logs().
    tail = "".join(f"\n    {line}" for line in log[-10:])
    return (
        f"{shorten(key)} was given up after {tries} attempts: worker processes died while it ran; the last one was "
        f"{worker} ({exit}). Run the function by hand with the same arguments, look for what crashes or fills the "
        f"memory, then submit it again." + (f" Last lines of that process:{tail}" if tail else "")
    )
