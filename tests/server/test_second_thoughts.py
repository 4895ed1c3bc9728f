"""Jobs that are erased, or enqueued once more."""

from __future__ import annotations

import base64

import httpx
import pytest

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_schemas import DEMO_MODEL

from .conftest import SEEN, Worker
from .test_jobs import problem, submit

PICTURE = b"\xff\xd8\xff a picture"
INLINE = [{"base64": base64.b64encode(PICTURE).decode()}]


def test_an_erased_job_is_gone_with_its_picture_its_result_and_its_key(
    api: httpx.Client, worker: Worker, ledger: Ledger
) -> None:
    body = {"model": DEMO_MODEL, "images": INLINE}
    key = {"Idempotency-Key": "order-1"}
    first = api.post("/v1/jobs", json=body, headers=key)
    where = first.headers["location"]
    worker.finish(worker.claim(), SEEN)
    stays = submit(api).headers["location"]
    erased = api.delete(where)
    assert (erased.status_code, erased.content) == (204, b"")
    for gone in (where, f"{where}/result", f"{where}/deliveries"):
        problem(api.get(gone), 404, "unknown-job")
    problem(api.delete(where), 404, "unknown-job")
    assert list(ledger.blobs.keys("a/")) == []
    assert [job["id"] for job in api.get("/v1/jobs").json()["jobs"]] == [stays.rpartition("/")[2]]
    again = api.post("/v1/jobs", json=body, headers=key)
    assert again.status_code == 202
    assert again.json()["id"] != first.json()["id"]


def test_a_job_that_is_erased_while_it_is_worked_on_leaves_nothing(
    api: httpx.Client, worker: Worker, ledger: Ledger
) -> None:
    where = submit(api, images=INLINE).headers["location"]
    claim = worker.claim()
    assert api.delete(where).status_code == 204
    _, recorded = worker.try_to_finish(claim, SEEN)
    assert not recorded
    problem(api.get(where), 404, "unknown-job")


def test_a_picture_that_another_job_names_outlives_an_erased_one(
    api: httpx.Client, worker: Worker, ledger: Ledger
) -> None:
    picture = {"upload": api.post("/v1/uploads", content=PICTURE).json()["id"]}
    one, other = (submit(api, images=[picture]).headers["location"] for _ in range(2))
    assert api.delete(one).status_code == 204
    assert len(list(ledger.blobs.keys("a/uploads/"))) == 1
    assert api.get(other).json()["state"] == "queued"
    assert api.delete(other).status_code == 204
    assert list(ledger.blobs.keys("a/uploads/")) == []


def test_only_a_dead_job_is_enqueued_once_more(
    api: httpx.Client, worker: Worker, ledger_settings: LedgerSettings
) -> None:
    where = submit(api).headers["location"]
    assert problem(api.post(f"{where}/replay"), 409, "conflict")["detail"]
    claim = worker.claim()
    with Ledger.open(ledger_settings.model_copy(update={"max_attempts": 1})) as strict:
        assert strict.jobs.requeue(claim, reason="the worker died")
    dead = api.get(where).json()
    assert dead["state"] == "dead"
    assert "the worker died" in dead["reason"]
    replayed = api.post(f"{where}/replay")
    assert (replayed.status_code, replayed.json()["state"]) == (200, "queued")
    assert replayed.json()["attempts"] == 0
    worker.finish(worker.claim(), SEEN)
    assert api.get(where).json()["state"] == "succeeded"
    problem(api.post(f"{where}/replay"), 409, "conflict")


@pytest.mark.parametrize("name", ["job_1", "job_" + "0" * 32])
def test_what_is_not_there_can_be_neither_erased_nor_replayed(api: httpx.Client, name: str) -> None:
    problem(api.delete(f"/v1/jobs/{name}"), 404, "unknown-job")
    problem(api.post(f"/v1/jobs/{name}/replay"), 404, "unknown-job")
