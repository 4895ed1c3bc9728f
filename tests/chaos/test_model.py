"""Faults 21 and 22: pictures that kill the model, hang it, or eat its memory."""

from __future__ import annotations

import time
from collections.abc import Callable

from boxyard_worker.detector.standin import Trouble
from chaos.faults import fault
from chaos.reading import await_end, codes_of
from chaos.trial import Figures, Trial
from pictures import png, scene, trouble

OTHER_MODEL = "rtmdet-ins_tiny_8xb32-300e_coco"
"""Only the detector of one test serves it."""


@fault(21, "poison image")
def test_a_poison_picture_ends_alone_and_its_mates_succeed(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """images that kill the model process, in jobs and batches with valid images"""
    a, b = trial.callers
    good, poison = a.upload(png(scene())), a.upload(png(trouble(Trouble.CRASH)))
    theirs = b.upload(png(scene()))
    delays = []
    for _ in range(scale(slice=1, full=10)):
        start = time.monotonic()
        poisoned = a.submit(good, poison, good)
        mates = [b.submit(theirs) for _ in range(10)]
        delays += [await_end(b, mate) - start for mate in mates]
        await_end(a, poisoned)
        assert codes_of(a, poisoned) == ["success", "crashed", "success"]
        assert all(codes_of(b, mate) == ["success"] for mate in mates)
    figures["longest delay of valid images s"] = round(max(delays), 1)
    trial.conclude(figures)


@fault(22, "the model hangs, runs out of memory, or raises")
def test_pictures_on_which_the_model_fails_are_told_so_and_their_mates_succeed(
    trial: Trial, figures: Figures
) -> None:
    """an endless loop, an allocation beyond the machine, an error; a batch deadline of 3 s"""
    a, stack = trial.a, trial.stack
    good = a.upload(png(scene()))
    bad = [a.upload(png(trouble(kind))) for kind in (Trouble.HANG, Trouble.EXHAUST, Trouble.RAISE)]
    worker = stack.detect("--model", OTHER_MODEL, batch_deadline_s=3)
    with stack.further(worker):
        start = time.monotonic()
        job = a.submit(good, *bad, good, model=OTHER_MODEL)
        figures["seconds to the outcome"] = round(await_end(a, job) - start, 1)
        following = a.submit(good, model=OTHER_MODEL)
        trial.conclude(figures)
        replaced = figures["children replaced"] = len(worker.events("model.died"))
    failed = ["crashed", "inference-failed", "inference-failed"]
    assert codes_of(a, job) == ["success", *failed, "success"]
    assert codes_of(a, following) == ["success"]
    assert replaced >= 3
