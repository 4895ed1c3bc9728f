from __future__ import annotations

import hashlib

import httpx

from boxyard_ledger import Ledger, upload_key
from boxyard_schemas import DEMO_MODEL

from .conftest import Worker, bearer
from .test_jobs import problem, submit

PICTURE = b"\xff\xd8 some picture"


def test_an_upload_is_stored_and_a_job_may_name_it(api: httpx.Client, ledger: Ledger) -> None:
    sent = api.post("/v1/uploads", content=PICTURE, headers={"Content-Type": "image/jpeg"})
    assert sent.status_code == 201
    upload = sent.json()
    assert upload["bytes"] == len(PICTURE)
    assert upload["sha256"] == hashlib.sha256(PICTURE).hexdigest()
    assert ledger.blobs.get(upload_key("a", upload["id"])) == PICTURE
    assert submit(api, images=[{"upload": upload["id"]}]).status_code == 202


def test_another_tenants_upload_is_not_there(api: httpx.Client) -> None:
    upload = api.post("/v1/uploads", content=PICTURE, headers=bearer("key-b")).json()["id"]
    found = problem(submit(api, images=[{"upload": upload}]), 404, "unknown-upload")
    assert found["upload"] == upload


def test_an_empty_upload_is_refused(api: httpx.Client) -> None:
    problem(api.post("/v1/uploads", content=b""), 422, "invalid-request")


def test_models_show_who_serves_them_and_what_waits(api: httpx.Client, worker: Worker) -> None:
    worker.appear()
    submit(api)
    (demo,) = (m for m in api.get("/v1/models").json()["models"] if m["name"] == DEMO_MODEL)
    assert demo["workers"] == [
        {"id": f"worker-{DEMO_MODEL}", "host": "here", "device": "cpu", "warm": True}
    ]
    assert (demo["queued"], demo["classes"]) == (1, ["carton", "can"])
    assert api.get(f"/v1/models/mmd-3x-{DEMO_MODEL}").json() == demo
    problem(api.get("/v1/models/nonsense"), 404, "unknown-model")


def test_a_model_that_only_a_worker_knows_is_offered(api: httpx.Client, ledger: Ledger) -> None:
    problem(submit(api, model="my-own"), 404, "unknown-model")
    Worker(ledger, "my-own").appear()
    assert submit(api, model="my-own").json()["warnings"] == []
    assert "my-own" in {model["name"] for model in api.get("/v1/models").json()["models"]}


def test_an_endpoint_shows_its_secret_once_and_belongs_to_its_tenant(api: httpx.Client) -> None:
    made = api.post("/v1/endpoints", json={"url": "https://example.com/hook"})
    assert made.status_code == 201
    endpoint = made.json()
    assert endpoint.pop("secret").startswith("whsec_")
    assert api.get("/v1/endpoints").json() == {"endpoints": [endpoint]}
    assert api.get("/v1/endpoints", headers=bearer("key-b")).json() == {"endpoints": []}
    assert submit(api, delivery={"endpoint": endpoint["id"]}).status_code == 202
    where = f"/v1/endpoints/{endpoint['id']}"
    problem(api.delete(where, headers=bearer("key-b")), 404, "not-found")
    assert api.delete(where).status_code == 204
    problem(api.delete(where), 404, "not-found")


def test_an_endpoint_may_not_lead_inside(api: httpx.Client) -> None:
    answer = api.post("/v1/endpoints", json={"url": "http://127.0.0.1/hook"})
    (found,) = problem(answer, 422, "invalid-request")["errors"]
    assert found["where"] == "url"
