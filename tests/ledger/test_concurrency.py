from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

from boxyard_ledger import Ledger
from boxyard_schemas import JobState

from .conftest import MODEL

JOBS, CLAIMERS = 500, 8


def test_eight_claimers_finish_each_of_five_hundred_jobs_once(
    ledger: Ledger, make_job: Callable, finish: Callable
):
    with ThreadPoolExecutor(CLAIMERS) as pool:
        list(pool.map(lambda _: ledger.jobs.accept(make_job()), range(JOBS)))
        worked = list(pool.map(lambda number: work(ledger, finish, number), range(CLAIMERS)))
    finished = Counter(job_id for ids in worked for job_id in ids)
    assert len(finished) == JOBS
    assert set(finished.values()) == {1}
    assert ledger.jobs.ready(MODEL) == 0
    assert len(ledger.jobs.list("acme", state=JobState.SUCCEEDED, limit=1000)[0]) == JOBS


def work(ledger: Ledger, finish: Callable, seed: int) -> list[str]:
    """Claims until nothing is ready; now and then gives a job back."""
    dice, finished = random.Random(seed), []
    while claims := ledger.jobs.claim(MODEL, worker=f"w{seed}", max_images=16):
        for claim in claims:
            if dice.random() < 0.1:
                assert ledger.jobs.requeue(claim, reason="dice", count_attempt=False)
            elif finish(claim):
                finished.append(claim.job.id)
    return finished
