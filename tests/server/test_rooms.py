from __future__ import annotations

import base64
import hashlib

import httpx
import pytest

from boxyard_ledger import Ledger, upload_key
from boxyard_schemas import DEMO_MODEL

from .conftest import Worker, bearer
from .test_jobs import problem, submit

PICTURE = b"\xff\xd8\xff some picture"


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


FORM = "application/x-www-form-urlencoded"


@pytest.mark.parametrize("media_type", [FORM, "text/html", "application/json", "image/gif", ""])
def test_the_media_type_of_an_image_does_not_matter(api: httpx.Client, media_type: str) -> None:
    sent = api.post("/v1/uploads", content=PICTURE, headers={"Content-Type": media_type})
    assert sent.status_code == 201


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"", "this is empty"),
        (b'{"url": "https://example.com/a.jpg"}', "this is JSON"),
        (b"<!DOCTYPE html><html></html>", "this is an HTML page"),
        (b"GIF89a" + bytes(20), "this is a GIF image. Convert it to JPEG, PNG"),
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1", "this is a HEIC image. Convert it to JPEG, PNG"),
        (base64.b64encode(PICTURE * 3), "this is an image written in base64. Decode it"),
        (b"image=%FF%D8%FF", "this is a URL-encoded form"),
        (bytes(50), "this is binary data of an unknown kind"),
    ],
)
def test_an_upload_that_is_no_image_is_refused_and_named(
    api: httpx.Client, ledger: Ledger, content: bytes, what: str
) -> None:
    answer = api.post("/v1/uploads", content=content, headers={"Content-Type": "image/jpeg"})
    (found,) = problem(answer, 422, "invalid-request")["errors"]
    assert found["where"] == "body"
    assert found["what"].startswith(what)
    assert list(ledger.blobs.keys("a/")) == []


def test_a_multipart_form_is_refused_with_the_command_that_works(api: httpx.Client) -> None:
    answer = api.post("/v1/uploads", files={"file": ("a.jpg", PICTURE, "image/jpeg")})
    (found,) = problem(answer, 422, "invalid-request")["errors"]
    assert found["what"].startswith("this is a multipart form. ")
    assert "curl --data-binary @image.jpg" in found["what"]


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
