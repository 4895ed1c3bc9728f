"""Signals: those that ask a process to stop, and those that a crash raises."""

from __future__ import annotations

import signal
from collections.abc import Callable
from queue import SimpleQueue
from threading import Event, Thread

FAULTS = frozenset(
    {
        signal.SIGSEGV,
        signal.SIGBUS,
        signal.SIGABRT,
        signal.SIGILL,
        signal.SIGFPE,
        signal.SIGTRAP,
        signal.SIGSYS,
    }
)
"""Signals that a process brings on itself when it crashes."""


def ignore_sent_faults() -> None:
    """Ignore the signals of a crash when another process sends them.

    The kernel ends a process that faults, and `abort` one that calls it, though the signal is
    ignored. So a process that dies of one has crashed. Call it from the main thread.
    """
    for number in FAULTS:
        signal.signal(number, signal.SIG_IGN)


def heed_signals(heed: Callable[[int], None], *numbers: int) -> None:
    """Has a thread of its own heed signals, one after the other. Call it from the main thread.

    A handler may interrupt whoever holds the lock that it needs, another handler included: it
    would wait for ever. A queue's `put` may be interrupted anywhere.
    """
    heard: SimpleQueue[int] = SimpleQueue()

    def heed_each() -> None:
        while True:
            heed(heard.get())

    Thread(target=heed_each, name="signals", daemon=True).start()
    for number in numbers:
        signal.signal(number, lambda number, frame: heard.put(number))


def stop_on_signals() -> Event:
    """An event that SIGTERM or SIGINT sets. Call it from the main thread."""
    stop = Event()
    heed_signals(lambda number: stop.set(), signal.SIGTERM, signal.SIGINT)
    return stop
