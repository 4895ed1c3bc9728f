"""Fault 24: S3 answers 5xx, late, 403, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.callers import Caller, Source
from chaos.faults import fault
from chaos.reading import attempts_of, await_end, codes_of, delivery_of
from chaos.stack import Stack
from chaos.storage import FaultyS3, delay, refuse
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import await_true

OWN = "yard"
FAULTS = {
    "5xx": refuse("503 Service Unavailable", "SlowDown"),
    "slow": delay(1.5),
    "403": refuse("403 Forbidden", "AccessDenied"),
}
CALLERS = {how: f"acme-{how}" for how in FAULTS}
"""A caller's buckets, by how each of them fails."""


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    with FaultyS3(OWN, *CALLERS.values()) as server:
        yield server


@pytest.fixture(scope="module")
def s3_stack(s3: FaultyS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {
        "blob_url": f"s3://{OWN}/blobs",
        "s3_endpoint_url": s3.url,
        "s3_access_key_id": "key",
        "s3_secret_access_key": "secret",
        "allowed_buckets": ",".join(CALLERS.values()),
    }
    with Stack(tmp_path_factory.mktemp("stores"), **settings) as stack:
        stack.start(detectors=1)
        yield stack


@contextmanager
def failing(s3: FaultyS3, how: str) -> Iterator[None]:
    """Boxyard's own bucket fails; `gone`: the whole server is away."""
    if how == "gone":
        s3.go()
    else:
        s3.faults[OWN] = FAULTS[how]
    try:
        yield
    finally:
        s3.faults.clear()
        if how == "gone":
            s3.come()


@fault(24, "Boxyard's own S3 5xx, slow, 403, gone")
def test_a_store_that_fails_delays_and_loses_nothing(
    s3_stack: Stack, s3: FaultyS3, figures: Figures, scale: Callable[..., int]
) -> None:
    """the bucket of uploads and results fails under load in four ways, and serves again"""
    s3_stack.mend()
    with Trial(s3_stack) as trial:
        with trial.load(per_s=10, patience_s=600):
            for how in (*FAULTS, "gone"):
                with failing(s3, how):
                    knock(trial.a, scale(slice=1, full=60))
                start = time.monotonic()
                job = trial.a.submit(trial.a.upload(png(scene())))
                figures[f"{how}: resume s"] = round(await_end(trial.a, job) - start, 1)
        trial.conclude(figures)
        states = {job["state"] for job in trial.a.list() + trial.b.list()}
    figures["requests that met it"] = s3.met
    assert states <= {"succeeded", "cancelled"}


@fault(24, "a caller's bucket 5xx, slow, 403")
def test_a_callers_bucket_that_fails_is_tried_again_or_told_clearly(
    s3_stack: Stack, s3: FaultyS3, figures: Figures
) -> None:
    """images from, and results to, a caller's bucket that fails and serves again"""
    s3_stack.mend()
    for bucket in CALLERS.values():
        s3.client().put_object(Bucket=bucket, Key="in/a.png", Body=png(scene()))
    with Trial(s3_stack) as trial:
        a = trial.a
        good = a.upload(png(scene()))
        s3.faults.update({CALLERS[how]: fault for how, fault in FAULTS.items()})
        jobs = {how: a.submit(*sources(good, how), delivery=copies(how)) for how in FAULTS}
        await_true(lambda: all(attempts_of(a, job) for job in jobs.values()), "attempts at copies")
        s3.faults.clear()
        await_true(lambda: delivery_of(a, jobs["5xx"])["state"] == "delivered", "the copy")
        trial.conclude(figures)
        pictures = {how: codes_of(a, job)[0] for how, job in jobs.items()}
        states = {how: delivery_of(a, job)["state"] for how, job in jobs.items()}
        assert attempts_of(a, jobs["403"]) == ["bucket-denied"]
        assert all(codes_of(a, job)[1] == "success" for job in jobs.values())
    figures["images"], figures["copies"] = tell(pictures), tell(states)
    assert pictures == {"5xx": "bucket-unavailable", "slow": "success", "403": "bucket-denied"}
    assert states == {"5xx": "delivered", "slow": "delivered", "403": "exhausted"}


def tell(found: dict[str, str]) -> str:
    return ", ".join(f"{how} {outcome}" for how, outcome in found.items())


def sources(good: Source, how: str) -> tuple[Source, Source]:
    return Source({"s3": f"s3://{CALLERS[how]}/in/a.png"}), good


def copies(how: str) -> dict[str, str]:
    return {"s3": f"s3://{CALLERS[how]}/out"}


def knock(caller: Caller, seconds: float) -> None:
    """Uploads meanwhile: each is taken, or 503."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = caller.send("POST", "/v1/uploads", content=png(scene()))
        assert answer is not None
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
