"""The pictures that the model owes an answer: which child has them, since when, who is to blame.

Those who ask add pictures; the thread that owns the child says what became of them. One lock keeps
them apart.

A picture whose device batch ended the child goes through alone from then on; only a picture
that was alone on the device gets a strike, and too many strikes make it `crashed`. A child that was
killed from outside, and not because memory ran out, is never a strike: when that happens again and
again over one image, its job is given back, which counts as an attempt. Pictures
that were still waiting go to the next child as if nothing had happened, unless the child died
with none on the device: then whichever of them did it has to be found, and each goes alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace

from boxyard_schemas.errors import Permanent, Unavailable
from boxyard_worker.detect.awake import awake_s
from boxyard_worker.detect.process import ChildProcess
from boxyard_worker.detector.contract import RawDetections
from boxyard_worker.detector.messages import Infer
from boxyard_worker.meters import DetectMeters

OnStrike = Callable[[int], None]
_KILLS_PER_ATTEMPT = 5
"""So often the model's process may be killed over one image before its job is given back."""


class ModelKilled(Exception):
    """The model's process was killed from outside again and again while it had one image."""

    def __init__(self, kills: int) -> None:
        super().__init__(f"killed {kills} times")


@dataclass
class Waiting:
    """A picture that is in a slot and has no answer yet.

    Attributes:
        message: what a child is told of it.
        strikes: how many children it ended, alone.
        on_strike: told the new count when it ends another.
        answer: what was found, or why nothing was.
        kills: children that were killed, as if from outside, with this alone on the device.
    """

    message: Infer
    strikes: int
    on_strike: OnStrike
    answer: Future[RawDetections] = field(default_factory=Future)
    kills: int = 0


class Pending:
    """Pictures without an answer. `add` is for everybody, the rest for the child's owner.

    Args:
        patience_s: how long a child may take over a device batch, or to begin one while
            pictures wait, seconds.
        max_strikes: so many make a picture `crashed`.
        meters: are told of strikes.
    """

    def __init__(self, *, patience_s: float, max_strikes: int, meters: DetectMeters) -> None:
        self._patience_s = patience_s
        self._max_strikes = max_strikes
        self._meters = meters
        self._lock = threading.Lock()
        self._waiting: dict[int, Waiting] = {}
        self._on_device: tuple[int, ...] = ()
        self._deadline = float("inf")
        self._child: ChildProcess | None = None
        self._closed = False

    @property
    def child(self) -> ChildProcess | None:
        """Whom pictures are sent to, if there is one."""
        return self._child

    @property
    def deadline(self) -> float:
        """When the child must have said something new, by `awake_s`, seconds."""
        return self._deadline

    @property
    def on_device(self) -> int:
        """How many pictures are on the device."""
        with self._lock:
            return len(self._hit())

    def add(self, waiting: Waiting) -> None:
        """Sends a picture, now or once there is a child.

        Raises:
            Unavailable: there will be none.
        """
        with self._lock:
            if self._closed:
                raise Unavailable("The model does not run.", retry_after_s=5)
            self._waiting[waiting.message.id] = waiting
            if self._child:
                self._child.send(waiting.message)
                self._deadline = min(self._deadline, self._end_of_patience())

    def connect(self, child: ChildProcess) -> None:
        """Sends this child whatever waits, and what comes from now on."""
        with self._lock:
            self._child = child
            self._deadline = self._next_deadline()
            for waiting in self._waiting.values():
                child.send(waiting.message)

    def disconnect(self) -> None:
        """Sends no more until there is another child."""
        with self._lock:
            self._child = None

    def begin(self, numbers: tuple[int, ...]) -> None:
        """These pictures are on the device now."""
        with self._lock:
            self._on_device = numbers
            self._deadline = self._end_of_patience()

    def take(self, number: int) -> Waiting | None:
        """Takes a picture off, to answer it; None when it is not there any more."""
        with self._lock:
            waiting = self._waiting.pop(number, None)
            if not self._hit():
                self._deadline = self._next_deadline()
        return waiting

    def blame(self, *, all_else: bool, proven: bool) -> None:
        """Draws the consequences of a child's death for those who may have caused it.

        Args:
            all_else: with none on the device, each that waits may have.
            proven: something in the child ended it; it was not killed from outside.
        """
        with self._lock:
            batch, hit, self._on_device = self._on_device, self._hit(), ()
            for waiting in hit or (list(self._waiting.values()) if all_else else ()):
                waiting.message = replace(waiting.message, alone=True)
        if len(batch) == 1 and hit:
            if proven:
                self._strike(hit[0])
            else:
                self._count_kill(hit[0])

    def close(self) -> None:
        """Answers everybody `Unavailable`, from now on too."""
        with self._lock:
            self._closed = True
            self._child = None
            left, self._waiting = list(self._waiting.values()), {}
        for waiting in left:
            waiting.answer.set_exception(Unavailable("The model was stopped.", retry_after_s=5))

    def _hit(self) -> list[Waiting]:
        return [self._waiting[number] for number in self._on_device if number in self._waiting]

    def _end_of_patience(self) -> float:
        return awake_s() + self._patience_s

    def _next_deadline(self) -> float:
        return self._end_of_patience() if self._waiting else float("inf")

    def _strike(self, waiting: Waiting) -> None:
        waiting.strikes += 1
        self._meters.strikes.inc()
        waiting.on_strike(waiting.strikes)
        if waiting.strikes >= self._max_strikes:
            self.take(waiting.message.id)
            waiting.answer.set_exception(crashed(waiting.strikes))

    def _count_kill(self, waiting: Waiting) -> None:
        waiting.kills += 1
        if waiting.kills >= _KILLS_PER_ATTEMPT:
            self.take(waiting.message.id)
            waiting.answer.set_exception(ModelKilled(waiting.kills))


def crashed(strikes: int) -> Permanent:
    """The outcome of a picture with too many strikes."""
    return Permanent(
        "crashed", f"The picture ended the model's process {strikes} times, alone on the device."
    )
