"""The model child as the parent sees it: start it, feed it, replace it when it dies.

One thread owns the child for its whole life: the kernel ties a child to the thread that started
it, and one reader keeps what happened in order.
"""

from __future__ import annotations

import itertools
import signal
import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import replace

import numpy as np
import structlog

from boxyard_schemas.errors import Permanent, SetupError
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detect.exits import count_oom_kills, ended_itself, usage
from boxyard_worker.detect.pending import OnStrike, Pending, Waiting, crashed
from boxyard_worker.detect.process import ChildProcess
from boxyard_worker.detect.slots import Slots
from boxyard_worker.detector.contract import ModelDescription, ModelImage, RawDetections
from boxyard_worker.detector.messages import (
    Done,
    Failed,
    FromChild,
    Infer,
    Load,
    LoadFailed,
    Ready,
    Started,
)
from boxyard_worker.meters import DetectMeters

log = structlog.get_logger(__name__)

_TICK_S = 0.2
_LOAD_DEATHS = 3
"""So many children in a row that die while loading end the worker."""
_IN_SLOT = np.empty((0, 0, 3), np.uint8)
"""A message carries no pixels: they are in its slot."""


class Model:
    """The model, whichever child holds it at the moment.

    Args:
        load: what the child is told to serve.
        slots: where pictures cross.
        visible_device: CUDA_VISIBLE_DEVICES of the child, or None to leave it.
        threads: of the child, for what it computes on the CPU.
        batch_deadline_s: a child that takes longer over a device batch, or to begin one while
            pictures wait, is ended; seconds.
        load_deadline_s: for loading and warming, seconds.
        max_strikes: so many make a picture `crashed`.
        on_broken: called once when no child can load the model any more.
        meters: are told of batches, deaths and strikes.
    """

    def __init__(
        self,
        load: Load,
        slots: Slots,
        *,
        visible_device: str | None,
        batch_deadline_s: float,
        load_deadline_s: float,
        max_strikes: int,
        on_broken: Callable[[SetupError], None],
        threads: int = 1,
        meters: DetectMeters | None = None,
    ) -> None:
        self._load = load
        self._slots = slots
        self._visible_device = visible_device
        self._threads = threads
        self._load_deadline_s = load_deadline_s
        self._max_strikes = max_strikes
        self._on_broken = on_broken
        self._meters = meters or DetectMeters()
        self._numbers = itertools.count()
        self._pending = Pending(
            patience_s=load.max_wait_s + batch_deadline_s,
            max_strikes=max_strikes,
            meters=self._meters,
        )
        self._loaded: Future[ModelDescription] = Future()
        self._broken: SetupError | None = None
        self._oom_kills = 0
        self._stopping = threading.Event()
        self._owner = threading.Thread(target=self._own, name="model", daemon=True)

    def start(self) -> ModelDescription:
        """Starts the first child and waits until it is warm.

        Raises:
            SetupError: the model cannot be loaded; says why.
        """
        self._owner.start()
        return self._loaded.result()

    @property
    def pid(self) -> int | None:
        """Process id of the child that is warm, if one is."""
        child = self._pending.child
        return child.pid if child else None

    def infer(
        self, image: ModelImage, *, strikes: int = 0, on_strike: OnStrike = lambda count: None
    ) -> RawDetections:
        """Runs one picture; waits for a slot, for batch mates and for the answer.

        Args:
            image: resized by the description's plan.
            strikes: how many children it ended before, alone.
            on_strike: told the new count when it ends another.

        Raises:
            Permanent: `crashed` or `inference-failed`.
            ModelKilled: again and again, and not by the image's doing.
            Unavailable: the model is being stopped or cannot be loaded.
        """
        if strikes >= self._max_strikes:
            raise crashed(strikes)
        with self._slots.hold(image.pixels) as slot:
            message = Infer(
                id=next(self._numbers),
                slot=slot,
                shape=(image.pixels.shape[0], image.pixels.shape[1]),
                image=replace(image, pixels=_IN_SLOT),
                alone=strikes > 0,
            )
            waiting = Waiting(message, strikes, on_strike)
            self._pending.add(waiting)
            return waiting.answer.result()

    def stop(self) -> None:
        """Ends the child; pictures that wait are answered `Unavailable`."""
        self._stopping.set()
        self._owner.join()

    def _own(self) -> None:
        try:
            self._replace_children()
        except Exception as error:  # without this thread, everybody would wait for ever
            log.debug("model.unattended", exc_info=True)
            self._break(SetupError(f"The model's process cannot be started: {error}."))
        finally:
            self._pending.close()

    def _replace_children(self) -> None:
        deaths = 0
        while not self._stopping.is_set() and not self._broken:
            child = ChildProcess(self._slots.files, self._visible_device, self._threads)
            try:
                warm, hung = self._serve(child)
            finally:
                self._pending.disconnect()
                child.end()
            if self._stopping.is_set() or self._broken:
                break
            deaths = 0 if warm else deaths + 1
            self._bury(child, deaths, hung=hung)
            self._stopping.wait(min(2.0**deaths, 10) - 1)

    def _serve(self, child: ChildProcess) -> tuple[bool, bool]:
        """Reads what the child says until it dies or hangs.

        Returns:
            Whether it was ever warm, and whether it hung though nothing had stopped it.
        """
        child.send(self._load)
        warm, hung, load_deadline = False, False, awake_s() + self._load_deadline_s
        while not self._stopping.is_set():
            # Before the look, so that what comes while this thread stands still is heard.
            late = awake_s() > (self._pending.deadline if warm else load_deadline)
            if child.poll(0 if late else _TICK_S):
                message = child.receive()
                if message is None:
                    break
                warm = warm or isinstance(message, Ready)
                self._hear(child, message)
            elif late:
                log.error("model.deadline", pid=child.pid, pictures=self._pending.on_device)
                hung = usage(child.pid).state not in "Tt"
                break
        return warm, hung

    def _hear(self, child: ChildProcess, message: FromChild) -> None:
        match message:
            case Ready(description):
                self._take_up(child, description)
            case LoadFailed(detail, traceback):
                if traceback:
                    log.debug("model.load-failed", traceback=traceback)
                self._break(SetupError(f"The model cannot be loaded. {detail}"))
            case Started(ids):
                self._meters.batches.observe(len(ids))
                self._oom_kills = count_oom_kills()
                self._pending.begin(ids)
            case Done(number, detections):
                if waiting := self._pending.take(number):
                    waiting.answer.set_result(detections)
            case Failed(number, detail, code):
                if waiting := self._pending.take(number):
                    waiting.answer.set_exception(Permanent(code, detail))

    def _take_up(self, child: ChildProcess, description: ModelDescription) -> None:
        log.info("model.warm", pid=child.pid, device=description.device)
        self._pending.connect(child)
        if not self._loaded.done():
            self._loaded.set_result(description)

    def _bury(self, child: ChildProcess, deaths: int, *, hung: bool) -> None:
        self._meters.restarts.inc()
        log.error(
            "model.died", pid=child.pid, status=child.status, pictures=self._pending.on_device
        )
        if deaths >= _LOAD_DEATHS:
            self._break(SetupError(f"The model's process died {deaths} times while loading."))
        # One that was loading had been told of no picture.
        self._pending.blame(all_else=not deaths, proven=hung or self._was_own_doing(child))

    def _was_own_doing(self, child: ChildProcess) -> bool:
        """Whether a dead child crashed, or used up the memory; if not, it was killed."""
        status = child.status or 0
        return ended_itself(status) or (
            status == -signal.SIGKILL and count_oom_kills() > self._oom_kills
        )

    def _break(self, error: SetupError) -> None:
        self._broken = error
        if not self._loaded.done():
            self._loaded.set_exception(error)
        else:
            self._on_broken(error)
