"""The model child dies, hangs and raises; the pictures around it come through."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from beside import beside
from boxyard_schemas.errors import Permanent, SetupError, Unavailable
from boxyard_worker.detect.model import Model
from boxyard_worker.detect.process import ChildProcess
from boxyard_worker.detector.contract import ModelImage, Pixels, RawDetections
from boxyard_worker.detector.standin import Trouble
from pictures import scene, trouble
from process import await_true

MakeModel = Callable[..., Model]
SCENE = [[8, 6, 24, 18]]


def image(pixels: Pixels) -> ModelImage:
    height, width = pixels.shape[:2]
    return ModelImage(pixels, width, height, score_threshold=0.3, max_detections=10, masks=True)


def boxes(found: RawDetections) -> list[list[float]]:
    return [[round(corner) for corner in box] for box in found.boxes.tolist()]


def running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_picture_comes_back_as_boxes_and_masks(make_model: MakeModel) -> None:
    found = make_model().infer(image(scene()))
    assert boxes(found) == SCENE
    assert found.masks is not None
    assert (found.masks[0].x, found.masks[0].y) == (8, 6)
    assert found.masks[0].unpack().all()


def test_pictures_larger_than_a_slot_cross_too_and_the_slot_shrinks_again(
    make_model: MakeModel,
) -> None:
    model = make_model()
    large = scene(1200, 900)
    assert boxes(model.infer(image(large))) == SCENE
    assert boxes(model.infer(image(scene()))) == SCENE
    assert max(os.fstat(file).st_size for file in model._slots.files) <= 1 << 16


def test_more_pictures_than_slots_all_come_back(make_model: MakeModel) -> None:
    model = make_model()
    with ThreadPoolExecutor(40) as threads:
        found = list(threads.map(lambda n: model.infer(image(scene(60 + n % 3))), range(120)))
    assert all(boxes(each) == SCENE for each in found)


@pytest.mark.parametrize("fault", [Trouble.RAISE, Trouble.MISFIT])
def test_a_picture_that_makes_the_model_raise_or_fits_no_group_fails_alone(
    make_model: MakeModel, fault: Trouble
) -> None:
    model = make_model(max_wait_s=0.3)
    pid = model.pid
    good, bad = run_together(model, [scene(), trouble(fault)])
    assert boxes(good) == SCENE
    assert isinstance(bad, Permanent)
    assert bad.reason == "inference-failed"
    assert model.pid == pid


def test_running_out_of_memory_fails_a_picture_and_not_the_child(make_model: MakeModel) -> None:
    model = make_model()
    pid = model.pid
    with pytest.raises(Permanent, match="Unable to allocate"):
        model.infer(image(trouble(Trouble.EXHAUST)))
    assert boxes(model.infer(image(scene()))) == SCENE
    assert model.pid == pid


def run_together(
    model: Model, pictures: list[Pixels], **options: Callable[[int], None]
) -> list[RawDetections | Exception]:
    """Runs pictures at once, so that they share a device batch."""

    def run(pixels: Pixels) -> RawDetections | Exception:
        try:
            return model.infer(image(pixels), **options)
        except (Permanent, Unavailable) as error:
            return error

    with ThreadPoolExecutor(len(pictures)) as threads:
        return list(threads.map(run, pictures))


def test_a_poison_picture_crashes_after_three_strikes_and_its_batch_mates_succeed(
    make_model: MakeModel,
) -> None:
    model = make_model(max_wait_s=0.3)
    strikes: list[int] = []
    *good, bad = run_together(
        model, [*[scene()] * 5, trouble(Trouble.CRASH)], on_strike=strikes.append
    )
    assert [boxes(each) for each in good if isinstance(each, RawDetections)] == [SCENE] * 5
    assert isinstance(bad, Permanent)
    assert bad.reason == "crashed"
    assert strikes == [1, 2, 3]


def test_strikes_of_an_earlier_claim_count(make_model: MakeModel) -> None:
    model = make_model()
    strikes: list[int] = []
    with pytest.raises(Permanent, match="3 times"):
        model.infer(image(trouble(Trouble.CRASH)), strikes=2, on_strike=strikes.append)
    assert strikes == [3]
    with pytest.raises(Permanent, match="3 times"):
        model.infer(image(scene()), strikes=3)


def test_a_hanging_batch_is_ended_at_its_deadline(make_model: MakeModel) -> None:
    model = make_model(deadline_s=3)
    first = model.pid
    with pytest.raises(Permanent) as caught:
        model.infer(image(trouble(Trouble.HANG)), strikes=2)
    assert caught.value.reason == "crashed"
    assert boxes(model.infer(image(scene()))) == SCENE
    assert model.pid != first


def test_a_child_that_stands_still_before_it_begins_a_batch_is_replaced_and_nobody_is_blamed(
    make_model: MakeModel,
) -> None:
    model = make_model(max_wait_s=0.2, deadline_s=3)
    first = model.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    strikes: list[int] = []
    found = run_together(model, [scene()] * 2, on_strike=strikes.append)
    assert [boxes(each) for each in found if isinstance(each, RawDetections)] == [SCENE] * 2
    assert model.pid != first
    assert strikes == []
    (batches,) = model._meters.batches.collect()
    figures = {sample.name: sample.value for sample in batches.samples if not sample.labels}
    assert figures["boxyard_batch_pictures_count"] == figures["boxyard_batch_pictures_sum"] == 2, (
        "either may have been the cause, so each goes alone"
    )


def test_a_child_that_reads_no_more_is_replaced_though_its_socket_is_full(
    make_model: MakeModel,
) -> None:
    model = make_model(deadline_s=3)
    first = model.pid
    assert first is not None
    os.kill(first, signal.SIGSTOP)
    wordy = replace(image(scene()), text="red" + 40_000 * " ")
    with ThreadPoolExecutor(16) as threads:
        found = list(threads.map(model.infer, [wordy] * 16))
    assert [boxes(each) for each in found] == [SCENE] * 16
    assert model.pid != first


def test_an_answer_that_comes_while_the_worker_stands_still_is_not_too_late(
    make_model: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, stood_still_s = make_model(), 0.0
    pid, poll, monotonic = model.pid, ChildProcess.poll, time.monotonic

    def stand_still(child: ChildProcess, timeout_s: float) -> bool:
        nonlocal stood_still_s
        if stood_still_s or not model._pending.on_device:
            return poll(child, timeout_s)
        assert poll(child, 60)
        stood_still_s = 3600
        return False

    for module in ("model", "pending"):
        monkeypatch.setattr(
            f"boxyard_worker.detect.{module}.awake_s", lambda: monotonic() + stood_still_s
        )
    monkeypatch.setattr(ChildProcess, "poll", stand_still)
    assert boxes(model.infer(image(trouble(Trouble.SLOW)))) == SCENE
    assert stood_still_s > 0
    assert model.pid == pid


def test_a_child_that_cannot_be_started_is_told_and_not_waited_for(make_model: MakeModel) -> None:
    with pytest.raises(SetupError, match="cannot be started"):
        make_model(visible_device="no\0device")


def test_an_unforeseen_exception_while_loading_is_one_sentence_without_a_traceback(
    make_model: MakeModel, capfd: pytest.CaptureFixture[str]
) -> None:
    odd = cast("str", [1, "\n" * 9])  # no model is called so
    with pytest.raises(
        SetupError, match=r"TypeError: .*\. Check .* has the traceback\.$"
    ) as broken:
        make_model(model=odd)
    assert "\n" not in broken.value.detail
    assert "Traceback" not in capfd.readouterr().err


def test_a_killed_child_is_replaced_and_costs_a_batch_no_strike(make_model: MakeModel) -> None:
    model = make_model(max_batch=2, max_wait_s=2)
    strikes: list[int] = []
    pid = model.pid
    assert pid is not None

    def kill(stop: threading.Event) -> None:
        await_true(lambda: model._pending.on_device == 2, "both in one batch")
        os.kill(pid, signal.SIGKILL)

    with beside(kill):
        found = run_together(model, [trouble(Trouble.SLOW)] * 2, on_strike=strikes.append)
    assert [boxes(each) for each in found if isinstance(each, RawDetections)] == [SCENE] * 2
    assert strikes == []
    assert model.pid != pid


def kill_often(model: Model, stop: threading.Event) -> None:
    killed: set[int] = set()
    while len(killed) < 4:
        await_true(lambda: model._pending.on_device == 1 and model.pid not in killed, "a batch")
        if pid := model.pid:
            killed.add(pid)
            os.kill(pid, signal.SIGSEGV)
            os.kill(pid, signal.SIGKILL)


def test_a_child_that_is_killed_from_outside_costs_an_image_that_is_alone_no_strike(
    make_model: MakeModel,
) -> None:
    model = make_model()
    strikes: list[int] = []
    with beside(partial(kill_often, model)):
        found = model.infer(image(trouble(Trouble.SLOW)), strikes=2, on_strike=strikes.append)
    assert boxes(found) == SCENE
    assert strikes == []


def test_deaths_leak_neither_files_nor_memory(make_model: MakeModel) -> None:
    model = make_model()

    def die() -> None:
        pid = model.pid
        assert pid is not None
        os.kill(pid, signal.SIGKILL)
        await_true(lambda: model.pid not in (None, pid), "another child")
        assert boxes(model.infer(image(scene(800, 800)))) == SCENE

    die()
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        die()
    # One that an earlier test left may be closed meanwhile.
    assert len(os.listdir("/proc/self/fd")) <= before
    kept = sum(os.fstat(file).st_blocks * 512 for file in model._slots.files)
    assert kept <= 16 * (1 << 16)


def test_stopping_answers_those_who_wait(make_model: MakeModel) -> None:
    model = make_model()
    pid = model.pid
    assert pid is not None
    threading.Timer(0.5, model.stop).start()
    with pytest.raises(Unavailable):
        model.infer(image(trouble(Trouble.HANG)))
    with pytest.raises(Unavailable):
        model.infer(image(scene()))
    await_true(lambda: not running(pid), "the child's end")


@pytest.mark.parametrize("kind", [None, Trouble.HANG])
def test_the_child_ends_with_a_killed_parent(kind: Trouble | None) -> None:
    """Also one that is busy, and whatever memory the slots held goes with it."""
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0, 0] = kind.value if kind else (0, 0, 0)
    script = f"""
        import threading, numpy as np
        from boxyard_worker.detect.model import Model
        from boxyard_worker.detect.slots import Slots
        from boxyard_worker.detector.contract import ModelImage
        from boxyard_worker.detector.messages import Load
        slots = Slots(2, 1 << 16)
        load = Load("m", "standin", "cpu", None, False, None, 1, 0, slots.files)
        model = Model(load, slots, visible_device="", batch_deadline_s=60, load_deadline_s=60,
                      max_strikes=3, on_broken=print)
        model.start()
        print("child", model.pid, flush=True)
        pixels = np.array({pixels.tolist()}, np.uint8)
        while True:
            model.infer(ModelImage(pixels, 4, 4, 0.3, 10, False))
    """
    parent = subprocess.Popen(
        [sys.executable, "-c", textwrap.dedent(script)], stdout=subprocess.PIPE, text=True
    )
    assert parent.stdout is not None
    with parent:
        try:
            told = next(line for line in parent.stdout if line.startswith("child"))
            child = int(told.split()[1])
            time.sleep(0.3)  # let it be busy
            assert running(child)
        finally:
            parent.kill()
    await_true(lambda: not running(child), "the child's end")
