"""Faults 38 and 39: decoders are frozen and killed by what has nothing to do with their images."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from threading import Event

from PIL import Image

from beside import beside
from chaos.faults import fault
from chaos.reading import codes_of
from chaos.stack import await_ready
from chaos.trial import Figures, Trial
from pictures import encoded
from process import Process

Scale = Callable[..., int]


@fault(38, "frozen workers")
def test_workers_that_are_frozen_while_they_decode_fail_no_image(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """SIGSTOP of a worker and all its processes while they decode, for longer than the deadline"""
    frozen_s, jobs = scale(slice=2.5, full=12), scale(slice=2, full=24)
    with only_worker(trial, decode_deadline_s=frozen_s - 1) as worker:
        image = trial.a.upload(noise())
        names = [trial.a.submit(image, image) for _ in range(jobs)]
        worker.await_event("picture.stage", stage="decode")
        pids = family(worker.pid)
        send(pids, signal.SIGSTOP)
        time.sleep(frozen_s)  # how long it is frozen is the fault
        send(pids, signal.SIGCONT)
        codes = [code for name in names for code in codes_of(trial.a, name)]
    figures |= {"images": len(codes), "failed": len(codes) - codes.count("success")}
    assert set(codes) == {"success"}
    trial.conclude(figures)


@fault(39, "killed decoders")
def test_decoders_that_are_killed_again_and_again_fail_no_image(
    trial: Trial, figures: Figures, scale: Scale
) -> None:
    """kill -9 of one of a worker's decoders every 50 ms, for seconds"""
    jobs, kills_s = scale(slice=2, full=40), scale(slice=2, full=15)
    kills = list[int]()
    with only_worker(trial, decoders=2) as worker:
        image = trial.a.upload(noise())
        with beside(partial(kill_decoders, trial, worker, kills)):
            names = [trial.a.submit(image, image) for _ in range(jobs)]
            time.sleep(kills_s)  # how long the killer goes on is the fault
        codes = [code for name in names for code in codes_of(trial.a, name)]
    figures |= {"images": len(codes), "kills": len(kills)}
    figures["failed"] = len(codes) - codes.count("success")
    assert kills
    assert set(codes) == {"success"}
    trial.conclude(figures)


def kill_decoders(trial: Trial, worker: Process, kills: list[int], stop: Event) -> None:
    while not stop.wait(0.05):
        if pids := [pid for pid in family(worker.pid) if is_decoder(pid)]:
            kills.append(trial.random.choice(pids))
            send(kills[-1:], signal.SIGKILL)


@contextmanager
def only_worker(trial: Trial, **settings: object) -> Iterator[Process]:
    """A worker with settings of its own; the stack's are frozen meanwhile."""
    for other in trial.stack.detectors:
        other.freeze()
    with trial.stack.further(trial.stack.detect(log_level="debug", **settings)) as worker:
        await_ready(worker)
        yield worker
    trial.stack.mend()


def noise() -> bytes:
    """An image that takes a while to decode."""
    return encoded(Image.effect_noise((3000, 2000), 90).convert("RGB"), "PNG")


def family(pid: int) -> list[int]:
    """A process and all its descendants."""
    found = [pid]
    for parent in found:
        for thread in Path(f"/proc/{parent}/task").glob("*/children"):
            with suppress(OSError):
                found += map(int, thread.read_text().split())
    return found


def is_decoder(pid: int) -> bool:
    with suppress(OSError):
        return b"boxyard_worker.decoder\0" in Path(f"/proc/{pid}/cmdline").read_bytes()
    return False


def send(pids: list[int], number: signal.Signals) -> None:
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, number)
