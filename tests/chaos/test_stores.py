"""Fault 24: S3 answers 5xx, late, 403, or not at all."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from chaos.callers import Caller, Source
from chaos.faults import fault
from chaos.reading import attempts_of, codes_of, delivery_of
from chaos.stack import Stack
from chaos.storage import FaultyS3, delay, refuse
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import await_true

OWN, CALLERS = "yard", "acme"
"""Boxyard's own bucket and a caller's."""
_BUSY = refuse("503 Service Unavailable", "SlowDown")
_FORBIDDEN = refuse("403 Forbidden", "AccessDenied")


@pytest.fixture(scope="module")
def s3() -> Iterator[FaultyS3]:
    with FaultyS3(OWN, CALLERS) as server:
        yield server


@pytest.fixture(scope="module")
def s3_stack(s3: FaultyS3, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    settings = {
        "blob_url": f"s3://{OWN}/blobs",
        "s3_endpoint_url": s3.url,
        "s3_access_key_id": "key",
        "s3_secret_access_key": "secret",
        "allowed_buckets": CALLERS,
    }
    with Stack(tmp_path_factory.mktemp("stores"), **settings) as stack:
        stack.start(detectors=1)
        yield stack


@contextmanager
def failing(s3: FaultyS3, how: str, bucket: str) -> Iterator[None]:
    """One bucket fails; `gone`: the whole server is away."""
    faults = {"5xx": _BUSY, "slow": delay(1.5), "403": _FORBIDDEN}
    if how == "gone":
        s3.go()
    else:
        s3.where, s3.fault = f"/{bucket}", faults[how]
    try:
        yield
    finally:
        if how == "gone":
            s3.come()
        s3.fault = None


@fault(24, "Boxyard's own S3 5xx, slow, 403, gone")
def test_a_store_that_fails_delays_and_loses_nothing(
    s3_stack: Stack, s3: FaultyS3, figures: Figures, scale: Callable[..., int]
) -> None:
    """the bucket of uploads and results fails under load in four ways, and serves again"""
    s3_stack.mend()
    with Trial(s3_stack) as trial:
        with trial.load(per_s=10):
            for how in ("5xx", "slow", "403", "gone"):
                with failing(s3, how, OWN):
                    knock(trial.a, scale(slice=2, full=60))
                start = time.monotonic()
                trial.a.submit(trial.a.upload(png(scene())))
                figures[f"{how}: accepts again after s"] = round(time.monotonic() - start, 1)
        trial.conclude(figures)
        states = {job["state"] for job in trial.a.list() + trial.b.list()}
    figures["requests that met it"] = s3.met
    assert states <= {"succeeded", "cancelled"}


@fault(24, "a caller's bucket 5xx, slow, 403")
def test_a_callers_bucket_that_fails_is_tried_again_or_told_clearly(
    s3_stack: Stack, s3: FaultyS3, figures: Figures
) -> None:
    """pictures from, and copies to, a caller's bucket that fails and serves again"""
    s3_stack.mend()
    s3.client().put_object(Bucket=CALLERS, Key="in/a.png", Body=png(scene()))
    source = Source({"s3": f"s3://{CALLERS}/in/a.png"})
    jobs = {}
    with Trial(s3_stack) as trial:
        a = trial.a
        good = a.upload(png(scene()))
        for how in ("5xx", "slow", "403"):
            with failing(s3, how, CALLERS):
                jobs[how] = job = a.submit(source, good, delivery={"s3": f"s3://{CALLERS}/out"})
                await_true(lambda job=job: bool(attempts_of(a, job)), "an attempt at the copy")
        trial.conclude(figures)
        await_true(lambda: delivery_of(a, jobs["5xx"])["state"] == "delivered", "the copy")
        pictures = {how: codes_of(a, job)[0] for how, job in jobs.items()}
        copies = {how: delivery_of(a, job)["state"] for how, job in jobs.items()}
        assert attempts_of(a, jobs["403"]) == ["bucket-denied"]
        assert all(codes_of(a, job)[1] == "success" for job in jobs.values())
    figures["pictures"], figures["copies"] = pictures, copies
    assert pictures == {"5xx": "bucket-unavailable", "slow": "success", "403": "bucket-denied"}
    assert copies == {"5xx": "delivered", "slow": "delivered", "403": "exhausted"}


def knock(caller: Caller, seconds: float) -> None:
    """Uploads meanwhile: each is taken, or 503."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        answer = caller.send("POST", "/v1/uploads", content=png(scene()))
        assert answer is not None
        assert answer.status_code in (201, 503), answer.text
        if answer.status_code == 503:
            assert int(answer.headers["Retry-After"]) > 0
