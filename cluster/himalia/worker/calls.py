"""Runs one call: function and inputs in, answer out.  Whatever a user's code does, there is an answer.

Decides what of a failure is whose: inputs that can't be read, the call that raised, a result that can't be written.
"""

from __future__ import annotations

import operator
import threading
from collections.abc import Callable, Iterable
from time import perf_counter, time
from typing import Any, Final

from himalia import serialize
from himalia.callables import Function, PerCall
from himalia.comm.data.mapping import ArenaReader
from himalia.itemwise import by_items, picking
from himalia.messages.parts import FunctionBody, TaskError, Timing
from himalia.messages.worker import CallReturned, NeedFunction, Place, Raised, Returned, Run
from himalia.names import Digest, Key, shorten
from himalia.worker.interrupt import Interrupts
from himalia.worker.results import describe, in_one_piece, type_name
from himalia.worker.space import Space

READING: Final = "Its function or arguments can't be read in the worker. "
SIMPLE: Final = frozenset({type(None), bool, int, float, str, bytes, list, tuple, dict})
"""Types of most results, which are pickled as they are."""
WRITING: Final = "It returned, but its result can't be sent. "


class Calls:
    """Runs calls of one worker process; any thread.

    Parameters
    ----------
    name : str
        The worker's name, for errors.
    arena : str
        Path of the arena.
    space : Space
        Where large results go.
    interrupts : Interrupts
        Told what may be interrupted.
    send : callable
        Sends the nanny a message.
    inline_limit, copy_limit, function_cache : int
        See ``settings``.
    """

    def __init__(
        self,
        name: str,
        arena: str,
        space: Space,
        interrupts: Interrupts,
        send: Callable[[NeedFunction], None],
        *,
        inline_limit: int,
        copy_limit: int,
        function_cache: int,
    ) -> None:
        self.name = name
        self.reader: ArenaReader | None = None
        self._arena = arena
        self._space = space
        self._interrupts = interrupts
        self._send = send
        self._inline_limit = inline_limit
        self._copy_limit = copy_limit
        self._function_cache = function_cache
        self._functions: dict[bytes, Function] = {}
        """Those that calls share."""
        self._makers: dict[bytes, PerCall] = {}
        """What makes the others, for each call anew."""
        self._bodies: dict[bytes, bytes] = {}
        self._asked: set[bytes] = set()
        """Functions on their way here."""
        self._arrived = threading.Condition()

    def perform(self, run: Run, thread: int) -> Returned | Raised:
        """Run a call and return the answer for the nanny; raises nothing."""
        start = time()
        began = called = returned = perf_counter()
        before = READING
        executing, early = self._interrupts.executing, self._interrupts.early
        try:
            try:
                # Set before the look at ``early``, into which the listening thread puts a run before it looks here: one
                # of them sees it.
                executing[thread] = run.run
                if early and run.run in early:
                    self.skip(run.inputs)
                    raise KeyboardInterrupt("this call was cancelled")
                function = self._functions.get(run.function) if run.function else None
                # Most calls have a known function, arguments inside, and no inputs; the short way saves them two calls
                # and a dict.
                if function is None or run.inputs or not run.call:
                    function, args, kwargs = self._read(run, function)
                else:
                    args, kwargs = serialize.loads_packed(run.call)
                called = returned = perf_counter()
                before = ""
                value = function(*args, **kwargs)
                returned = perf_counter()
                before = WRITING
                # Still interruptible: pickling a large value runs a user's code, too, and takes seconds.
                frames = serialize.dumps(value if type(value) in SIMPLE else by_items(in_one_piece(value)))
            finally:
                if thread:
                    # An exception that was set and not raised yet is taken back; a signal needs no such thing, its
                    # handler looks.
                    self._interrupts.leave(thread)
                else:
                    executing[0] = 0
            name = type_name(value)
            # Most results: a small pickle that travels as it is, without a copy.
            if len(frames) == 1 and type(frames[0]) is bytes and len(frames[0]) <= self._inline_limit:
                place = Place(frames[0])
                nbytes = len(frames[0])
            else:
                place, nbytes = self._write(frames)
            timing = Timing(start, called - began, returned - called, perf_counter() - returned, thread)
            return Returned(run.run, nbytes, name, place, timing)
        except BaseException as error:  # SystemExit and KeyboardInterrupt too: they end the call, not the worker
            ended = perf_counter()
            # It knows by the traceback whether an interrupt landed where something stayed half done.
            self._interrupts.arrived(error)
            if not before:
                returned = ended
            timing = Timing(start, called - began, returned - called, ended - returned, thread)
            if before:
                before = f"{shorten(run.key)}: {before}"
            return Raised(run.run, describe(error, run.key, self.name, before), timing)

    def call_beside(self, request: int, call: bytes) -> CallReturned:
        """Run a call beside the tasks (``client.run``) and return the answer; raises nothing."""
        before = READING
        try:
            function, args, kwargs = serialize.loads_packed(call)
            before = ""
            value = function(*args, **kwargs)
            before = WRITING
            return CallReturned(request, serialize.dumps_packed(value))
        except BaseException as error:  # as above
            return CallReturned(request, b"", describe(error, Key(""), self.name, before))

    def unsendable(self, error: BaseException) -> TaskError:
        """Describe why an answer that was made could not be sent."""
        return describe(error, Key(""), self.name, WRITING)

    def read(self, place: Place) -> Any:
        """The frames at a place."""
        return (self.reader or self._open()).read(place)

    def skip(self, inputs: Iterable[tuple[Key, Place]]) -> None:
        """Say of inputs that this process doesn't read them: their nanny counts them as mapped here."""
        offsets = [place.offset for _, place in inputs if place.inline is None]
        if offsets:
            (self.reader or self._open()).unmapped.extend(offsets)

    def _open(self) -> ArenaReader:
        with self._arrived:
            # Looked at again: two threads may have found none.
            if self.reader is None:
                self.reader = ArenaReader(self._arena, copy_limit=self._copy_limit)
            return self.reader

    def learn(self, message: FunctionBody) -> None:
        """Take a function that was asked for; called by the thread that listens to the nanny."""
        with self._arrived:
            self._bodies[message.digest] = message.body
            self._arrived.notify_all()

    def _read(self, run: Run, function: Function | None) -> tuple[Function, Any, Any]:
        """What to call with what."""
        values: dict[Key, Any] = {}
        call: list[tuple[Key, Place]] = []
        left = iter(run.inputs)
        try:
            if run.function and function is None:
                function = self._find_function(run.function)  # first: it may know where to import from
            # Of what it looks up by a key the rest need not be unpickled.
            load = self._load_for_lookup if function is operator.getitem else self._load
            for key, place in left:
                if key == run.argument:
                    call.append((key, place))
                else:
                    values[key] = load(place)
            with serialize.resolving(values):
                parts = serialize.loads(self.read(call.pop()[1])) if call else serialize.loads_packed(run.call)
        except BaseException:
            # Those that were not read count as mapped here all the same, and would never be freed.
            self.skip([*call, *left])
            raise
        if function is not None:
            args, kwargs = parts
        else:
            function, args, kwargs = parts
        return function, args, kwargs

    def _load(self, place: Place) -> Any:
        if place.inline is not None:
            return serialize.loads_packed(place.inline)
        return serialize.loads(self.read(place))

    def _load_for_lookup(self, place: Place) -> Any:
        with picking():
            return self._load(place)

    def _find_function(self, digest: bytes) -> Function:
        """Return a function by its digest, asking the nanny if this is the first time."""
        kept = self._find_kept(digest)
        return kept.make() if isinstance(kept, PerCall) else kept

    def _find_kept(self, digest: bytes) -> Function | PerCall:
        """What is kept of a function: itself, or what makes one for each call."""
        with self._arrived:
            while True:
                if digest in self._functions:
                    return self._functions[digest]
                if digest in self._makers:
                    return self._makers[digest]
                body = self._bodies.pop(digest, None)
                if body is not None:
                    break
                # Threads of one worker may need the same new function at once; its body comes once.
                if digest not in self._asked:
                    self._asked.add(digest)
                    self._send(NeedFunction(Digest(digest)))
                self._arrived.wait()
            self._asked.add(digest)  # who needs it meanwhile waits below, and doesn't ask for it again
        # without the lock: unpickling imports, for seconds maybe, and runs code that may need another function
        function: Function | PerCall | None = None
        try:
            if not body:
                raise LookupError("its nanny doesn't know the function; this is a fault of himalia")
            function = serialize.loads_packed(body)
        finally:
            self._remember(digest, function)
        assert function is not None
        return function

    def _remember(self, digest: bytes, function: Function | PerCall | None) -> None:
        """Keep a function that was read, or (``None``) let whoever else waits for it try for himself."""
        with self._arrived:
            if function is not None:
                kept: dict[bytes, Any] = self._makers if isinstance(function, PerCall) else self._functions
                while len(kept) >= self._function_cache:
                    # By age and not by use, which every call would have to note.
                    del kept[next(iter(kept))]
                kept[digest] = function
            self._asked.discard(digest)
            self._arrived.notify_all()

    def _write(self, frames: list[serialize.Buffer]) -> tuple[Place, int]:
        """Put a result that isn't one small pickle inline if it is small enough, else into the arena."""
        nbytes = serialize.nbytes(frames)
        if nbytes <= self._inline_limit:
            data = serialize.pack(frames)
            return Place(data), len(data)
        return self._space.write(frames), nbytes


def refusal(run: Run) -> Raised:
    """The answer to a run that was recalled before it began."""
    return Raised(run.run, TaskError("refused", run.key, "it was recalled"), Timing(0.0, 0.0, 0.0, 0.0))
