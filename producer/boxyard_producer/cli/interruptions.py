"""SIGINT and SIGTERM as an exception that never comes in the middle of a step."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager


class Interruptions:
    """From its making on, the first signal raises `KeyboardInterrupt` with its number.

    Later ones change nothing: the command is about to end.
    """

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
            self.end()
            raise KeyboardInterrupt(self._number)

    @property
    def pending(self) -> bool:
        """Whether a signal has come."""
        return self._number != 0

    def end(self) -> None:
        """From now on a signal changes nothing."""
        self._held = True

    def _interrupt(self, number: int, _: object) -> None:
        self._number = number
        if not self._held:
            self.end()
            raise KeyboardInterrupt(number)
