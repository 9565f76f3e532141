"""Threads may make decoders at the same time."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import himalia

HOMES = [Path(himalia.__file__).parent, *Path(himalia.__file__).parents[2].glob("*/himalia_*")]

RACE = textwrap.dedent(
    """
    import os, random, sys, threading, time
    import msgspec
    from himalia.decoders import decoder_of
    from himalia.messages.worker import NannyToWorker, Place, Run, Stored

    data = msgspec.msgpack.encode(Run(1, "key", b"", b"call", "", [("input", Place(b"value"))]))
    for _ in range(200):
        child = os.fork()
        if not child:
            sys.setswitchinterval(1e-6)
            other = threading.Thread(target=lambda: decoder_of(Run | NannyToWorker))
            other.start()
            end = time.perf_counter() + random.random() * 0.0015
            while time.perf_counter() < end:
                pass
            for _ in range(50):
                decoder_of(Run | Stored).decode(data)
            other.join()
            os._exit(0)
        if os.waitpid(child, 0)[1]:
            sys.exit(1)
    """
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs os.fork")
def test_two_threads_make_decoders_of_the_same_messages_at_once() -> None:
    """A child of this test dies of SIGSEGV in one of 200 tries if they don't wait for each other."""
    done = subprocess.run([sys.executable, "-c", RACE], timeout=60, check=False)
    assert done.returncode == 0, f"ended by {signal.SIGSEGV.name}, or what else ends a child"


def test_nobody_else_makes_decoders() -> None:
    found = []
    for path in (path for home in HOMES for path in home.rglob("*.py")):
        for node in ast.walk(ast.parse(path.read_text())):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
                continue
            name = ast.unparse(node.func)
            typed = any(word.arg == "type" for word in node.keywords)
            is_making = (name.endswith(".Decoder") and bool(node.args)) or name == "msgspec.convert"
            if is_making or (name.startswith("msgspec.") and name.endswith(".decode") and typed):
                found.append(f"{path.name}:{node.lineno} {ast.unparse(node)}")
    assert [place for place in found if not place.startswith("decoders.py") and "dict[str, object]" not in place] == []
