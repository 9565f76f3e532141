from __future__ import annotations

import os
import signal
import threading

import pytest

from himalia.client.engine.critical_section import CriticalSection


def test_an_interrupt_comes_after_the_block() -> None:
    done = []

    def work() -> None:
        with CriticalSection():
            os.kill(os.getpid(), signal.SIGINT)
            done.append("all of it")
        done.append("not this")

    with pytest.raises(KeyboardInterrupt):
        work()
    assert done == ["all of it"]
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_an_interrupt_nothing_happens_here_nor_in_another_thread() -> None:
    with CriticalSection():
        pass
    seen = []

    def other() -> None:
        with CriticalSection():
            seen.append(signal.getsignal(signal.SIGINT))

    thread = threading.Thread(target=other)
    thread.start()
    thread.join()
    assert seen == [signal.default_int_handler]
