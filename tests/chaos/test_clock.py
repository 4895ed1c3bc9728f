"""Fault 20: a worker's wall clock jumps."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from chaos.faults import fault
from chaos.trial import Figures, Trial
from process import Process, await_true

_SHIM = Path(__file__).with_name("clock.c")
_HOUR_S = 3600


@pytest.fixture
def shim(tmp_path: Path) -> Path:
    """The library that shifts a process' clock."""
    if not shutil.which("cc"):
        if os.environ.get("CI"):
            pytest.fail("CI has no C compiler: cc")
        pytest.skip("there is no C compiler")
    library = tmp_path / "clock.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-O1", "-o", library, _SHIM], check=True)
    return library


@fault(20, "clock jump")
def test_a_worker_whose_clock_jumps_by_an_hour_keeps_its_leases_and_takes_no_others(
    trial: Trial, shim: Path, tmp_path: Path, figures: Figures, scale: Callable[..., int]
) -> None:
    """one worker's clock an hour ahead, then an hour behind, again and again under load"""
    clock = tmp_path / "clock"
    clock.write_text("0")
    jumps = [_HOUR_S, -_HOUR_S] * scale(slice=1, full=50)
    worker = trial.stack.detect(LD_PRELOAD=shim, BOXYARD_CLOCK=clock)
    with trial.stack.further(worker):
        with trial.load(per_s=20, slow=0.1):
            for shift in jumps:
                false = len(list(_false(worker)))
                clock.write_text(str(shift))
                time.sleep(1.5)
                await_true(
                    lambda false=false: len(list(_false(worker))) > false, "a claim", worker.tail
                )
        figures["jumps"] = len(jumps)
        figures["jobs claimed by a false clock"] = len(list(_false(worker)))
        trial.conclude(figures)
    assert figures["jobs claimed by a false clock"]
    assert figures["duplicate runs"] == 0


def _false(worker: Process) -> Iterator[datetime]:
    """The moments at which the worker believed to claim jobs, where it was far from the truth."""
    for line in worker.events("job.claimed"):
        moment = datetime.fromisoformat(line["timestamp"])
        if abs(moment - datetime.now(UTC)) > timedelta(minutes=30):
            yield moment
