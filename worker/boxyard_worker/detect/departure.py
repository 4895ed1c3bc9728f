"""How a worker leaves: warmly, in a hurry, or past a broker that does not let it go."""

from __future__ import annotations

import os
import signal
import threading
import time

import structlog

from boxyard_worker.detect.application import Consumer
from boxyard_worker.detect.model import Model
from boxyard_worker.detect.progress import Progress
from boxyard_worker.signals import heed_signals

log = structlog.get_logger(__name__)

_LINGER_S = 10.0
"""With nothing in flight, Celery may take so long to leave a broker that does not answer."""
_HURRY_S = 5.0
"""In a hurry, what is in flight may take so long to be handed back."""


class Departure:
    """Tells the parts of a worker that it ends. The first SIGTERM or SIGINT lets what has begun
    finish; a second one, or SIGQUIT, hands it back.

    Attributes:
        stopping: nothing new is begun.
        hurry: what has begun is handed back.
    """

    def __init__(self, model: Model, progress: Progress) -> None:
        self.stopping = threading.Event()
        self.hurry = threading.Event()
        self._model = model
        self._progress = progress
        self._exit_code: int | None = None

    def of(self, consumer: Consumer) -> None:
        """From now on signals end this consumer. Call it from the main thread."""
        self._consumer = consumer
        threading.Thread(target=self._see_off, name="departure", daemon=True).start()
        heed_signals(self._heed, signal.SIGTERM, signal.SIGINT, signal.SIGQUIT)

    def begin(self, exit_code: int) -> None:
        """Ends the worker warmly with an exit code."""
        self._exit_code = exit_code if self._exit_code is None else self._exit_code
        self.stopping.set()

    def _heed(self, number: int) -> None:
        if number == signal.SIGQUIT or self.stopping.is_set():
            self.hurry.set()
        self.begin(0)

    def _see_off(self) -> None:
        self.stopping.wait()
        log.info("worker.stopping", jobs=self._progress.jobs)
        self._consumer.stop(self._exit_code or 0)
        while not self._progress.idle and not self.hurry.is_set():
            self.hurry.wait(0.1)
        if self.hurry.is_set():
            self._model.stop()
        end = time.monotonic() + (_HURRY_S if self.hurry.is_set() else _LINGER_S)
        while time.monotonic() < end:
            time.sleep(0.1)
        log.warning("worker.cut-off", jobs=self._progress.jobs)
        os._exit(self._exit_code or 0)
