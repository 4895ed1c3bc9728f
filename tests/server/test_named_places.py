"""What callers name is looked up in lists of ours, never in a file system."""

from __future__ import annotations

import httpx
import pytest

from boxyard_schemas import DEMO_MODEL

PLACES = (
    "../../etc/passwd",
    "/weights/other.safetensors",
    "file:///etc/passwd",
    "configs/rtmdet.py",
    "https://weights.example/model.pth",
    f"../{DEMO_MODEL}",
    f"{DEMO_MODEL}.py",
)
IMAGE = {"url": "https://pictures.example/a.jpg"}


@pytest.mark.parametrize("place", PLACES)
def test_a_model_is_a_name_of_the_catalogue_and_no_place(api: httpx.Client, place: str) -> None:
    job = {"model": place, "images": [IMAGE]}
    score = {"input_data": {"columns": ["image"], "index": [0], "data": [IMAGE["url"]]}}
    assert api.post("/v1/jobs", json=job).status_code in (404, 422)
    assert api.post("/score", params={"model": place}, json=score).status_code in (404, 422)
    assert api.get(f"/v1/models/{place}").status_code in (404, 422)


@pytest.mark.parametrize("member", ["config", "weights", "checkpoint", "device", "detector"])
def test_a_request_has_no_member_for_what_is_the_operators(api: httpx.Client, member: str) -> None:
    job = {"model": DEMO_MODEL, "images": [IMAGE]}
    assert api.post("/v1/jobs", json=job).status_code == 202
    assert api.post("/v1/jobs", json={**job, member: PLACES[0]}).status_code == 422
    inside = {**job, "parameters": {member: PLACES[0]}}
    assert api.post("/v1/jobs", json=inside).status_code == 422


@pytest.mark.parametrize(
    "scheme", ["file:///etc/passwd", "ftp://a.example/", "gopher://a.example/"]
)
def test_pictures_and_callbacks_are_of_the_web_alone(api: httpx.Client, scheme: str) -> None:
    job = {"model": DEMO_MODEL, "images": [IMAGE]}
    assert api.post("/v1/jobs", json={**job, "images": [{"url": scheme}]}).status_code == 422
    told = {**job, "delivery": {"callback": {"url": scheme}}}
    assert api.post("/v1/jobs", json=told).status_code == 422
    assert api.post("/v1/endpoints", json={"url": scheme}).status_code == 422
