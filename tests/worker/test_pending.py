"""Whoever adds pictures and whoever answers them do not undo each other's doing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from threading import Thread

import pytest

from boxyard_schemas.errors import Permanent, Unavailable
from boxyard_worker.detect.pending import ModelKilled, Pending, Waiting
from boxyard_worker.detect.process import ChildProcess
from boxyard_worker.detector.contract import ModelImage
from boxyard_worker.detector.messages import Infer
from boxyard_worker.meters import DetectMeters
from pictures import scene

PATIENCE_S = 10.0


@dataclass
class Clock:
    """Stands still; `meanwhile` happens once, while somebody looks at it."""

    now: float = 0.0
    meanwhile: Callable[[], object] | None = None

    def monotonic(self) -> float:
        happen, self.meanwhile = self.meanwhile, None
        if happen:
            happen()
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr("boxyard_worker.detect.pending.awake_s", clock.monotonic)
    return clock


@pytest.fixture
def pending() -> Pending:
    return Pending(patience_s=PATIENCE_S, max_strikes=3, meters=DetectMeters())


@pytest.fixture
def child() -> Iterator[ChildProcess]:
    """A dead one: what is sent to it goes nowhere."""
    child = ChildProcess((), "")
    os.kill(child.pid, signal.SIGKILL)
    yield child
    child.end()


def waiting(number: int) -> Waiting:
    image = ModelImage(scene(), 64, 48, score_threshold=0.3, max_detections=10, masks=True)
    return Waiting(Infer(number, 0, (48, 64), image), 0, lambda count: None)


def test_a_batch_that_begins_while_a_picture_is_added_has_its_whole_time(
    pending: Pending, clock: Clock, child: ChildProcess
) -> None:
    pending.connect(child)
    pending.add(waiting(0))
    assert pending.deadline == PATIENCE_S
    clock.now = 8.0
    begin = Thread(target=pending.begin, args=((0,),))

    def begin_meanwhile() -> None:
        begin.start()
        begin.join(0.2)  # it must wait for the picture to be added

    clock.meanwhile = begin_meanwhile
    pending.add(waiting(1))
    begin.join(60)
    assert pending.deadline == 8.0 + PATIENCE_S


def test_nobody_is_waited_for_when_nothing_waits(
    pending: Pending, clock: Clock, child: ChildProcess
) -> None:
    pending.connect(child)
    assert pending.deadline == float("inf")
    pending.add(waiting(0))
    pending.begin((0,))
    assert pending.take(0) is not None
    assert pending.take(0) is None, "a picture is answered once"
    assert pending.deadline == float("inf")


@pytest.mark.parametrize(
    ("proven", "deaths", "outcome"), [(True, 3, Permanent), (False, 5, ModelKilled)]
)
def test_an_image_is_crashed_by_what_it_did_alone_and_given_back_for_what_came_from_outside(
    pending: Pending, proven: bool, deaths: int, outcome: type[Exception]
) -> None:
    alone = waiting(0)
    pending.add(alone)
    for _ in range(deaths):
        assert not alone.answer.done()
        pending.begin((0,))
        pending.blame(all_else=True, proven=proven)
    assert isinstance(alone.answer.exception(60), outcome)
    assert alone.strikes == (deaths if proven else 0)
    pending.begin((0,))
    pending.blame(all_else=True, proven=proven)  # it is no longer there


def test_kills_from_outside_do_not_add_to_an_images_strikes(pending: Pending) -> None:
    image = waiting(0)
    pending.add(image)
    for proven in (True, False, False, True, False, False):
        pending.begin((0,))
        pending.blame(all_else=True, proven=proven)
    assert (image.strikes, image.kills, image.answer.done()) == (2, 4, False)


def test_a_picture_that_comes_too_late_is_refused(pending: Pending) -> None:
    before = waiting(0)
    pending.add(before)
    pending.close()
    assert isinstance(before.answer.exception(60), Unavailable)
    with pytest.raises(Unavailable):
        pending.add(waiting(1))
