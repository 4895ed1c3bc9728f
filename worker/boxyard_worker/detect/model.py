"""The model child as the parent sees it: start it, feed it, replace it when it dies.

One thread owns the child for its whole life: the kernel ties a child to the thread that started
it, and one reader keeps what happened in order.

A picture whose device batch ended the child goes through alone from then on; only a picture
that was alone on the device gets a strike, and too many strikes make it `crashed`. Pictures
that were still waiting go to the next child as if nothing had happened, unless the child died
with none on the device: then whichever of them did it has to be found, and each goes alone.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, replace

import structlog

from boxyard_schemas.errors import Permanent, SetupError, Unavailable
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

OnStrike = Callable[[int], None]
_TICK_S = 0.2
_LOAD_DEATHS = 3
"""So many children in a row that die while loading end the worker."""


@dataclass
class _Waiting:
    """A picture that is in a slot and has no answer yet."""

    message: Infer
    future: Future[RawDetections]
    strikes: int
    on_strike: OnStrike


class Model:
    """The model, whichever child holds it at the moment.

    Args:
        load: what the child is told to serve.
        slots: where pictures cross.
        visible_device: CUDA_VISIBLE_DEVICES of the child, or None to leave it.
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
        meters: DetectMeters | None = None,
    ) -> None:
        self._load = load
        self._slots = slots
        self._visible_device = visible_device
        self._batch_deadline_s = batch_deadline_s
        self._load_deadline_s = load_deadline_s
        self._max_strikes = max_strikes
        self._on_broken = on_broken
        self._meters = meters or DetectMeters()
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._waiting: dict[int, _Waiting] = {}
        self._on_device: tuple[int, ...] = ()
        self._deadline = 0.0
        self._child: ChildProcess | None = None
        self._loaded: Future[ModelDescription] = Future()
        self._broken: SetupError | None = None
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
        child = self._child
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
            Unavailable: the model is being stopped or cannot be loaded.
        """
        if strikes >= self._max_strikes:
            raise _crashed(strikes)
        with self._slots.hold(image.pixels) as slot:
            message = self._message(image, slot, alone=strikes > 0)
            waiting = _Waiting(message, Future(), strikes, on_strike)
            self._send(waiting)
            return waiting.future.result()

    def stop(self) -> None:
        """Ends the child; pictures that wait are answered `Unavailable`."""
        self._stopping.set()
        self._owner.join()

    def _message(self, image: ModelImage, slot: int, *, alone: bool) -> Infer:
        height, width = image.pixels.shape[:2]
        return Infer(
            id=next(self._numbers),
            slot=slot,
            shape=(height, width),
            width=image.width,
            height=image.height,
            score_threshold=image.score_threshold,
            max_detections=image.max_detections,
            masks=image.masks,
            text=image.text,
            custom_entities=image.custom_entities,
            alone=alone,
        )

    def _send(self, waiting: _Waiting) -> None:
        with self._lock:
            if self._broken or self._stopping.is_set():
                raise Unavailable("The model does not run.", retry_after_s=5)
            self._waiting[waiting.message.id] = waiting
            if self._child:
                self._child.send(waiting.message)
                self._deadline = min(self._deadline, self._end_of_patience())

    def _own(self) -> None:
        try:
            self._replace_children()
        except Exception as error:  # without this thread, everybody would wait for ever
            log.exception("model.unattended")
            self._break(SetupError(f"The model's process cannot be started: {error}."))
        finally:
            self._dismiss()

    def _replace_children(self) -> None:
        deaths = 0
        while not self._stopping.is_set() and not self._broken:
            child = ChildProcess(self._slots.files, self._visible_device)
            try:
                warm = self._serve(child)
            finally:
                with self._lock:  # nobody may be writing to the socket that is closed next
                    self._child = None
                child.end()
            if self._stopping.is_set() or self._broken:
                break
            deaths = 0 if warm else deaths + 1
            self._bury(child, deaths)
            self._stopping.wait(min(2.0**deaths, 10) - 1)

    def _serve(self, child: ChildProcess) -> bool:
        """Reads what the child says until it dies; returns whether it was ever warm."""
        child.send(self._load)
        self._deadline = time.monotonic() + self._load_deadline_s
        warm = False
        while not self._stopping.is_set():
            if not child.poll(_TICK_S):
                if time.monotonic() > self._deadline:
                    log.error("model.deadline", pid=child.pid, pictures=len(self._on_device))
                    return warm
                continue
            message = child.receive()
            if message is None:
                return warm
            warm = warm or isinstance(message, Ready)
            self._hear(child, message)
        return warm

    def _hear(self, child: ChildProcess, message: FromChild) -> None:
        match message:
            case Ready(description):
                self._take_up(child, description)
            case LoadFailed(detail):
                self._break(SetupError(f"The model cannot be loaded. {detail}"))
            case Started(ids):
                self._on_device = ids
                self._meters.batches.observe(len(ids))
                self._deadline = self._end_of_patience()
            case Done(number, detections):
                if waiting := self._leave(number):
                    waiting.future.set_result(detections)
            case Failed(number, detail, code):
                if waiting := self._leave(number):
                    waiting.future.set_exception(Permanent(code, detail))

    def _take_up(self, child: ChildProcess, description: ModelDescription) -> None:
        log.info("model.warm", pid=child.pid, device=description.device)
        with self._lock:
            self._deadline = self._end_of_patience() if self._waiting else float("inf")
            self._child = child
            for waiting in self._waiting.values():
                child.send(waiting.message)
        if not self._loaded.done():
            self._loaded.set_result(description)

    def _leave(self, number: int) -> _Waiting | None:
        """Takes a picture that has its answer off the books."""
        with self._lock:
            waiting = self._waiting.pop(number, None)
            if not any(other in self._waiting for other in self._on_device):
                self._deadline = self._end_of_patience() if self._waiting else float("inf")
        return waiting

    def _end_of_patience(self) -> float:
        """When a child that has pictures must have begun a device batch, or be through with it."""
        return time.monotonic() + self._load.max_wait_s + self._batch_deadline_s

    def _bury(self, child: ChildProcess, deaths: int) -> None:
        """Draws the consequences of a child's death for those who may have caused it."""
        batch, self._on_device = self._on_device, ()
        with self._lock:
            hit = [self._waiting[n] for n in batch if n in self._waiting]
            # One that was loading had been told of none.
            suspects = hit if hit or deaths else list(self._waiting.values())
        self._meters.restarts.inc()
        log.error("model.died", pid=child.pid, status=child.status, pictures=len(hit))
        if deaths >= _LOAD_DEATHS:
            self._break(SetupError(f"The model's process died {deaths} times while loading."))
        for waiting in suspects:
            waiting.message = replace(waiting.message, alone=True)
        if len(batch) == 1 and hit:
            self._strike(hit[0])

    def _strike(self, waiting: _Waiting) -> None:
        waiting.strikes += 1
        self._meters.strikes.inc()
        waiting.on_strike(waiting.strikes)
        if waiting.strikes >= self._max_strikes:
            self._leave(waiting.message.id)
            waiting.future.set_exception(_crashed(waiting.strikes))

    def _break(self, error: SetupError) -> None:
        self._broken = error
        if not self._loaded.done():
            self._loaded.set_exception(error)
        else:
            self._on_broken(error)

    def _dismiss(self) -> None:
        with self._lock:
            self._child = None
            waiting, self._waiting = list(self._waiting.values()), {}
        for each in waiting:
            each.future.set_exception(Unavailable("The model was stopped.", retry_after_s=5))


def _crashed(strikes: int) -> Permanent:
    return Permanent(
        "crashed", f"The picture ended the model's process {strikes} times, alone on the device."
    )
