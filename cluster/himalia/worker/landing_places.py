"""Where an interrupt may land: what the frames of a thread say about things that would be left half done.

A call that is stopped while it imports leaves a half-filled module in ``sys.modules`` for all calls after it; one that
is stopped in a finalizer, or right after it took a lock of the interpreter, leaves something else of that kind.  This
decides by looking at frames, from the innermost one out, whether an exception raised there and then would do that.  It
raises nothing.

No for
------
- imports, lazy ones too, and modules that are being executed in whatever way: anywhere in the stack;
- finalizers: ``__del__``, callbacks of weak references and of the garbage collector, which swallow exceptions;
- entering and leaving a ``with`` block, and calls of ``acquire``: whether a lock is held is not known there.  Inside of
  a block, or at a ``with`` of a plain lock, it is: Python looks for interrupts only once the block is protected;
- logging, and our own code, output included;
- modules of the standard library that keep something for the whole process, unless the thread has been standing at the
  same instruction for a while: then it waits, as in ``Event.wait``, and nothing is under way.

What can't be seen from here, as C code that took a lock of its own, is not interrupted by Python either; and a call
that offers no place in time costs its worker, which the nanny replaces.
"""

from __future__ import annotations

import dis
import gc
import os
import sys
import weakref
from collections.abc import Iterator
from types import CodeType, FrameType, TracebackType
from typing import Any, Final

import himalia

LIBRARY: Final = os.path.dirname(os.__file__) + os.sep
PACKAGES: Final = (f"{LIBRARY}site-packages{os.sep}", f"{LIBRARY}dist-packages{os.sep}")
OURS: Final = os.path.dirname(himalia.__file__) + os.sep
CARRIERS: Final = tuple(OURS + name for name in ("client" + os.sep, "serialize.py", "callables.py", "surroundings.py"))
"""Our files that user code runs in, or that bear an interrupt anywhere, as all of the client does."""
PERFORMING: Final = f"{OURS}worker{os.sep}calls.py"
"""Our file that user code runs in, and that bears an interrupt in some of its functions only."""
RAISING: Final = f"{OURS}worker{os.sep}interrupt.py"
"""Our file with the handler that raises, which has looked already."""
BEARING: Final = frozenset({"perform", "_read"})
IMPORTING: Final = ("<frozen importlib", "<frozen zipimport", f"{LIBRARY}importlib{os.sep}", f"{LIBRARY}zipimport.py")
THROUGHOUT: Final = frozenset({"logging", "weakref", "_weakrefset"})
"""Modules of the standard library in which, and in what they call, no interrupt may land."""
IN_MOTION: Final = frozenset({
    "_strptime", "abc", "asyncio", "codecs", "concurrent", "contextlib", "copyreg", "encodings", "enum", "functools",
    "linecache", "locale", "mimetypes", "multiprocessing", "queue", "selectors", "shelve", "socketserver", "ssl",
    "subprocess", "tempfile", "threading", "tracemalloc", "typing", "warnings",
})  # fmt: skip
"""Modules of the standard library with locks, caches or registries: an interrupt lands there only while they wait."""
TRANSITIONS: Final = frozenset({"__del__", "__enter__", "__exit__", "__aenter__", "__aexit__"})
LOCKING: Final = frozenset({"acquire", "__enter__", "enter_context", "flock", "lockf", "_acquire_restore"})
"""Functions after whose return something is held that nobody gives back yet."""
WAITING: Final = frozenset({"wait", "_wait_for_tstate_lock"})
"""Functions of ``threading`` that wait by a lock of their own, or give it back themselves."""


def may_land(frame: FrameType, *, is_resting: bool) -> bool:
    """Whether an exception may be raised where a thread is.

    Parameters
    ----------
    frame : FrameType
        The innermost one, of a thread that runs a call.
    is_resting : bool
        Whether it has been standing at this instruction for a while.
    """
    # A generator that is closed because nobody refers to it any more passes no exception on.
    if not _bears_on_top(frame, is_resting) or isinstance(sys.exception(), GeneratorExit):
        return False
    return not any(is_guarded(each, each.f_code) for each in _frames_of_call(frame))


def landed_badly(trace: TracebackType | None) -> bool:
    """Whether an exception passed through a place where it should not have been raised."""
    while trace is not None and trace.tb_frame.f_code.co_filename != RAISING:
        # By the traceback, since frames that were left in between are no longer on the stack.
        if is_guarded(trace.tb_frame, trace.tb_frame.f_code):
            return True
        trace = trace.tb_next
    return False


def is_guarded(frame: FrameType, code: CodeType) -> bool:
    """Whether no interrupt may land in this frame or in what it calls."""
    file, name = code.co_filename, code.co_name
    if file.startswith(IMPORTING) or name in TRANSITIONS:
        return True
    if file.startswith(OURS):
        return not file.startswith(CARRIERS) and file != PERFORMING
    if name == "<module>" and _is_module(frame):
        return True
    return _library_module(file) in THROUGHOUT or _is_callback(frame, code)


def _bears_on_top(frame: FrameType, is_resting: bool) -> bool:
    """Whether an exception may be raised at the very instruction where this frame is."""
    code = frame.f_code
    if code.co_filename == PERFORMING:
        return code.co_name in BEARING
    module = _library_module(code.co_filename)
    if _called_name(code, frame.f_lasti) in LOCKING and not (module == "threading" and code.co_name in WAITING):
        return False
    return is_resting or module not in IN_MOTION


def _frames_of_call(frame: FrameType | None) -> Iterator[FrameType]:
    while frame is not None:
        code = frame.f_code
        yield frame
        # What is above it is ours: no call's code, and in no state that an interrupt could spoil.
        if code.co_filename == PERFORMING and code.co_name == "perform":
            return
        frame = frame.f_back


def _library_module(file: str) -> str:
    """The top-level module of a file of the standard library; an empty string for others."""
    # Since 3.11 modules that are needed at every start come frozen, and have no path.
    if file.startswith("<frozen "):
        return file[len("<frozen ") : -1].partition(".")[0]
    if not file.startswith(LIBRARY) or file.startswith(PACKAGES):
        return ""
    return file[len(LIBRARY) :].partition(os.sep)[0].removesuffix(".py")


def _is_module(frame: FrameType) -> bool:
    """Whether this is the body of a module that others can find already, however it is being executed."""
    name = frame.f_globals.get("__name__")
    module = sys.modules.get(name) if isinstance(name, str) and name != "__main__" else None
    return module is not None and getattr(module, "__dict__", None) is frame.f_globals


def _is_callback(frame: FrameType, code: CodeType) -> bool:
    """Whether this was called by the interpreter because something is gone, or is about to be collected."""
    # The interpreter calls these from wherever the collector happens to run; no frame of theirs tells.
    if any([getattr(callback, "__code__", None) is code for callback in gc.callbacks]):
        return True
    count = code.co_argcount + code.co_kwonlyargcount + bool(code.co_flags & 0x04)
    if not count:
        return False
    # Arguments come first in co_varnames; what was deleted meanwhile is missing.
    values = [value for value in map(frame.f_locals.get, code.co_varnames[:count]) if value is not None]
    # 0x04 is CO_VARARGS: a callback that takes ``*args`` gets the dead reference among them.
    if code.co_flags & 0x04 and values and type(values[-1]) is tuple:
        values += values[-1][:2]
    return any([_is_dead(value) for value in values]) or (bool(values) and _finalizes(values[0], code))


def _is_dead(value: Any) -> bool:
    # Past the value's own methods: a proxy or a subclass would run code of its user here.
    return issubclass(type(value), weakref.ref) and weakref.ref.__call__(value) is None


def _finalizes(value: object, code: CodeType) -> bool:
    """Whether code is the finalizer of this value's class, under whatever name it was written."""
    return getattr(getattr(type(value), "__del__", None), "__code__", None) is code


def _called_name(code: CodeType, position: int) -> str:
    """The name of the method or function that is being called at this instruction; empty if none is."""
    name = ""
    # From the start each time: instructions have caches between them, so one can't step back from where a thread is.
    for step in dis.get_instructions(code):
        if step.offset >= position:
            return name if "CALL" in step.opname else ""
        if step.opname in ("LOAD_ATTR", "LOAD_METHOD", "LOAD_GLOBAL", "LOAD_NAME", "LOAD_FAST", "LOAD_DEREF"):
            name = str(step.argval) if step.opname in ("LOAD_ATTR", "LOAD_METHOD") else name
    return ""
