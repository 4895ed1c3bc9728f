"""How long jobs take to end after the process that held them died."""

from __future__ import annotations

import math
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from boxyard_schemas.errors import UnknownJob

if TYPE_CHECKING:
    from chaos.trial import Trial


class Recovery:
    """Remembers what was running at each blow.

    Args:
        trial: whose jobs are watched.
    """

    def __init__(self, trial: Trial) -> None:
        self._trial = trial
        self._struck: dict[tuple[str, str], tuple[int, float]] = {}

    def strike(self) -> None:
        """Call it when a worker dies or was cut off."""
        now = time.time()
        for status in self._trial.running():
            self._struck[status.job.tenant, status.job.id] = status.attempts, now

    def seconds(self) -> list[float]:
        """From the last blow to its end, of each job that somebody had to take up again."""
        found = []
        for (tenant, job), (attempts, at) in self._struck.items():
            try:
                status = self._trial.stack.ledger.jobs.get(tenant, job)
            except UnknownJob:  # erased since
                continue
            if status.attempts > attempts and status.finished_at:
                found.append(status.finished_at.timestamp() - at)
        return found


def percentile(values: Sequence[float], share: float) -> float:
    """The least value that so large a share of all does not exceed; 0 of none."""
    ranked = sorted(values)
    return round(ranked[math.ceil(share * len(ranked)) - 1], 2) if ranked else 0.0
