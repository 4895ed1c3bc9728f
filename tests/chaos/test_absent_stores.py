"""Fault 42: the blob directory is away for a while."""

from __future__ import annotations

import time
from collections.abc import Callable

import httpx

from chaos.faults import fault
from chaos.history import Refused
from chaos.trial import Figures, Trial


@fault(42, "blob directory away")
def test_a_blob_directory_that_is_away_is_waited_for(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """The blob directory gives way to an empty one, as when its disk is unmounted, under load"""
    times = scale(slice=1, full=10)
    root = trial.stack.folder / "blobs"
    with trial.load(per_s=20, threads=2):
        for _ in range(times):
            time.sleep(1)
            disk = root.rename(root.with_name("disk"))
            root.mkdir()
            time.sleep(trial.random.uniform(1, 3))
            readiness = httpx.get(f"{trial.stack.url}/readyz", timeout=30)
            assert list(root.iterdir()) == [], "something was written to the mount point"
            root.rmdir()
            disk.rename(root)
            assert readiness.status_code == 503
            assert "is not the blob store of this stack" in readiness.json()["detail"]
    trial.conclude(figures)
    assert {refused.status for refused in trial.history.of(Refused)} <= {503}
    figures["times away"] = times
