"""What this process did with jobs, counted for whoever watches it."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter


class Tally:
    """Counters of one process; a stack's figure is the sum over its processes.

    A job is counted once, by the process whose step it was: the server accepts and cancels, a
    detect worker claims and finishes, a sweeper expires and buries.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self.accepted = Counter(
            "boxyard_jobs_accepted", "Jobs recorded.", ["model"], registry=registry
        )
        self.attempts = Counter(
            "boxyard_job_attempts", "Claims of jobs by workers.", ["model"], registry=registry
        )
        self.requeued = Counter(
            "boxyard_jobs_requeued",
            "Running jobs that were given back, or whose worker was lost.",
            ["model"],
            registry=registry,
        )
        self.ended = Counter(
            "boxyard_jobs_ended",
            "Jobs that ended, by their last state.",
            ["model", "state"],
            registry=registry,
        )
