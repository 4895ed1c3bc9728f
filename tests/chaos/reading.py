"""What tests ask of one job: how it ended, what became of its pictures, who was told."""

from __future__ import annotations

import time
from typing import Any

from boxyard_schemas import ImageFailure, ImageOutcome
from chaos.callers import Caller
from process import await_true


def await_end(caller: Caller, job: str) -> float:
    """The moment at which a job was seen to have ended, by the monotonic clock."""

    def ended() -> bool:
        told = caller.read(job)
        return told is not None and told["state"] not in ("queued", "running")

    await_true(ended, f"the end of {job}")
    return time.monotonic()


def images_of(caller: Caller, job: str) -> tuple[ImageOutcome, ...]:
    """The outcomes of a job's pictures, once it has ended."""
    await_end(caller, job)
    result = caller.result(job)
    assert result is not None, caller.read(job)
    return result.images


def codes_of(caller: Caller, job: str) -> list[str]:
    """How each picture ended, once the job has: `success`, or the failure's code."""
    return [
        each.code if isinstance(each, ImageFailure) else "success"
        for each in images_of(caller, job)
    ]


def delivery_of(caller: Caller, job: str) -> dict[str, Any]:
    """How the one delivery of a job stands; empty before the job has ended."""
    answer = caller.insist("GET", f"/v1/jobs/{job}/deliveries")
    return next(iter(answer.json()["deliveries"]), {})


def attempts_of(caller: Caller, job: str) -> list[str]:
    """The outcomes of the attempts at the one delivery of a job."""
    return [each["outcome"] for each in delivery_of(caller, job).get("attempts", [])]
