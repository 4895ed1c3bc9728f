"""SIGINT and SIGTERM as an exception that never comes in the middle of a step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interruptions:
    """From its making on, either signal raises `KeyboardInterrupt` with its number."""

    def __init__(self) -> None:
        self._held, self._number = False, 0
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._interrupt)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Inside, a signal waits for the end of the block.

        A signal mask would not do: Python runs handlers in the main thread, whichever thread the
        signal has reached.
        """
        self._held = True
        try:
            yield
        finally:
            self._held = False
        if self._number:
            raise KeyboardInterrupt(self._number)

    def _interrupt(self, number: int, _: object) -> None:
        self._number = number
        if not self._held:
            raise KeyboardInterrupt(number)
