"""Whatever the contract allows is kept as it was said, and can be worked on."""

from __future__ import annotations

import base64
import json
from typing import Any

import httpx
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from boxyard_ledger import JobRecord, Ledger
from boxyard_producer.server.acceptance import fingerprint
from boxyard_schemas import DEMO_MODEL, JobRequest

JSON = {"Content-Type": "application/json"}

texts = st.text(st.characters(codec="utf-8"), max_size=40)
urls = st.builds(
    "{}://{}{}/{}{}".format,
    st.sampled_from(["http", "https", "HTTPS"]),
    st.sampled_from(["a.example", "A.Example.", "1.1.1.1", "[2606:4700::1111]", "bücher.example"]),
    st.sampled_from(["", ":443", ":8443"]),
    st.text(st.characters(codec="utf-8"), max_size=60) | st.just("é" * 2000) | st.just("a" * 4060),
    st.sampled_from(["", "?q=ü&x=%20", "#part", "?", "%"]),
)
references = st.none() | st.text(st.characters(codec="utf-8"), min_size=1, max_size=256)
images = st.one_of(
    st.fixed_dictionaries({"url": urls, "reference": references}),
    st.fixed_dictionaries(
        {
            "base64": st.binary(max_size=60).map(
                lambda data: base64.b64encode(b"\xff\xd8\xff" + data).decode()
            )
        }
    ),
    st.fixed_dictionaries({"s3": st.text(min_size=1, max_size=60).map("s3://bucket/{}".format)}),
)
jobs = st.fixed_dictionaries(
    {"model": st.just(DEMO_MODEL), "images": st.lists(images, min_size=1, max_size=4)},
    optional={
        "parameters": st.fixed_dictionaries(
            {},
            optional={
                "score_threshold": st.floats(0, 1) | st.integers(0, 1),
                "max_detections": st.integers(1, 1000),
                "masks": st.sampled_from(["polygon", "rle", "none"]),
                "pixel_boxes": st.booleans(),
            },
        ),
        "delivery": st.fixed_dictionaries(
            {}, optional={"callback": st.builds(dict, url=urls), "s3": st.just("s3://bucket/out/")}
        ),
        "priority": st.sampled_from(["high", "normal", "low"]),
        "expires_in_s": st.none() | st.integers(1, 30 * 86400),
        "metadata": st.dictionaries(
            st.text(st.characters(codec="utf-8"), min_size=1, max_size=64), texts, max_size=16
        ),
    },
)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)


def read(body: dict[str, Any]) -> JobRequest | None:
    try:
        return JobRequest.model_validate_json(json.dumps(body))
    except ValidationError:
        return None


@given(jobs)
@settings(deadline=None)
def test_what_was_read_once_is_read_the_same_again(body: dict[str, Any]) -> None:
    if request := read(body):
        again = JobRequest.model_validate_json(request.model_dump_json())
        assert again == request
        assert fingerprint(again) == fingerprint(request)


@given(jobs, jobs)
@settings(deadline=None)
def test_bodies_have_one_fingerprint_only_when_they_say_the_same(
    one: dict[str, Any], other: dict[str, Any]
) -> None:
    if (first := read(one)) and (second := read(other)):
        assert (fingerprint(first) == fingerprint(second)) == (first == second)


def test_what_is_accepted_is_kept_as_it_was_said_and_can_be_claimed(
    api: httpx.Client, ledger: Ledger
) -> None:
    @given(jobs)
    @settings(deadline=None, max_examples=150, suppress_health_check=list(HealthCheck))
    def check(body: dict[str, Any]) -> None:
        answer = api.post("/v1/jobs", content=json.dumps(body), headers=JSON)
        assert answer.status_code in (202, 422), answer.text
        if answer.status_code == 202:
            (claim,) = ledger.jobs.claim(DEMO_MODEL, worker="w", max_images=1)
            assert claim.job.id == answer.json()["id"]
            _assert_same(JobRequest.model_validate_json(json.dumps(body)), claim.job)

    check()


def _assert_same(said: JobRequest, kept: JobRecord) -> None:
    for name in ("parameters", "delivery", "priority", "metadata"):
        assert getattr(kept, name) == getattr(said, name)
    for asked, stored in zip(said.images, kept.images, strict=True):
        assert stored.reference == asked.reference
        assert type(asked).__name__ == "Base64Image" or stored == asked


def test_no_json_makes_the_server_fail(api: httpx.Client) -> None:
    @given(
        st.sampled_from(
            ["/v1/jobs", "/score", "/v1/endpoints", "/v1/keys", "/v1/deliveries/replay"]
        ),
        anything
        | st.builds(
            lambda job, odd, name: {**job, name: odd},
            jobs,
            anything,
            st.sampled_from(list(JobRequest.model_fields)),
        ),
    )
    @settings(deadline=None, max_examples=300, suppress_health_check=list(HealthCheck))
    def check(path: str, body: object) -> None:
        answer = api.post(path, content=json.dumps(body), headers=JSON)
        assert answer.status_code in (200, 201, 202, 404, 422), answer.text

    check()
