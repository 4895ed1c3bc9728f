from __future__ import annotations

import base64
import json
import string
from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from boxyard_schemas import (
    ApiKeyRequest,
    Base64Image,
    Box,
    Detection,
    ImageInfo,
    ImageSource,
    ImageSuccess,
    Job,
    JobRequest,
    JobState,
    Parameters,
    Priority,
    RleMask,
    S3Image,
    ScoreRequest,
    StoredImage,
    UploadImage,
    UrlImage,
    new_id,
)

unit = st.floats(0, 1)
text = st.text(min_size=1, max_size=20)
references = st.none() | text
hosts = st.text(string.ascii_lowercase, min_size=1, max_size=10)
images = st.one_of(
    st.builds(
        UrlImage,
        url=hosts.map(lambda host: f"https://{host}.example/a b?c=d"),
        reference=references,
    ),
    st.builds(
        Base64Image,
        base64=st.binary(max_size=200).map(lambda data: base64.b64encode(b"\xff\xd8\xff" + data)),
        reference=references,
    ),
    st.builds(S3Image, s3=hosts.map(lambda host: f"s3://bucket-{host}/a/ü"), reference=references),
    st.builds(UploadImage, upload=st.just(new_id("upl")), reference=references),
)
requests = st.builds(
    JobRequest,
    model=st.just("rtmdet-ins_demo"),
    images=st.lists(images, min_size=1, max_size=4).map(tuple),
    parameters=st.builds(
        Parameters,
        score_threshold=unit,
        max_detections=st.integers(1, 1000),
        masks=st.sampled_from(["polygon", "rle", "none"]),
    ),
    priority=st.sampled_from(Priority),
    expires_in_s=st.none() | st.integers(1, 86400),
    metadata=st.dictionaries(text, st.text(max_size=20), max_size=4),
)
outcomes = st.builds(
    ImageSuccess,
    reference=references,
    boxes=st.lists(
        st.builds(
            Detection,
            box=st.builds(Box, topX=unit, topY=unit, bottomX=unit, bottomY=unit),
            label=text,
            label_id=st.integers(0, 1000),
            score=unit,
            polygon=st.none() | st.lists(st.lists(unit, max_size=8).map(tuple)).map(tuple),
            mask=st.none() | st.builds(RleMask, size=st.just((4, 5)), counts=text),
        ),
        max_size=3,
    ).map(tuple),
    image=st.builds(
        ImageInfo, width=st.integers(1, 9999), height=st.integers(1, 9999), sha256=text
    ),
)
source = TypeAdapter[object](ImageSource)
stored = TypeAdapter[object](StoredImage)


@given(requests)
def test_any_request_comes_back_from_the_wire_as_it_was(request: JobRequest) -> None:
    assert JobRequest.model_validate_json(request.model_dump_json()) == request


@given(outcomes)
def test_any_outcome_comes_back_from_the_wire_as_it_was(outcome: ImageSuccess) -> None:
    assert ImageSuccess.model_validate_json(outcome.model_dump_json()) == outcome


@pytest.mark.parametrize(
    "given_source",
    [{}, {"url": "https://a.example", "base64": "aa=="}, {"reference": "a"}, "https://a.example"],
)
def test_a_picture_comes_from_exactly_one_place(given_source: object) -> None:
    with pytest.raises(ValidationError, match="exactly one of url, base64, s3 or upload"):
        source.validate_python(given_source)


@pytest.mark.parametrize(
    "wrong",
    [
        {"url": "ftp://a.example/"},
        {"url": "https://"},
        {"url": "https://a.example/" + "a" * 4096},
        {"base64": "a"},
        {"s3": "s3://UPPER/key"},
        {"s3": "s3://bucket/"},
        {"upload": "upl_1"},
        {"upload": new_id("job")},
        {"url": "https://a.example", "referense": "a"},
        {"url": "https://a.example", "reference": ""},
    ],
)
def test_a_source_that_does_not_fit_is_refused(wrong: dict[str, str]) -> None:
    with pytest.raises(ValidationError):
        source.validate_python(wrong)


def test_a_record_never_holds_pixels() -> None:
    with pytest.raises(ValidationError):
        stored.validate_python({"base64": "/9j/4AAQ"})


def test_a_newer_servers_answer_is_read_by_an_older_client() -> None:
    job = Job.model_validate_json(json.dumps({**_job(), "invented_later": 1}))
    assert job.state is JobState.QUEUED


def test_moments_are_written_in_utc_whatever_zone_they_came_in() -> None:
    there = datetime(2026, 11, 21, 8, tzinfo=timezone(timedelta(hours=2)))
    job = Job.model_validate({**_job(), "created_at": there})
    assert job.created_at == datetime(2026, 11, 21, 6, tzinfo=UTC)
    assert job.model_dump(mode="json")["created_at"] == "2026-11-21T06:00:00Z"
    with pytest.raises(ValidationError):
        Job.model_validate({**_job(), "created_at": datetime(2026, 11, 21)})


@pytest.mark.parametrize(
    ("text", "number"),
    [
        *((text, 60) for text in ("60", "60.0", "6e1")),
        *((text, None) for text in ("60.5", '"60"', "true", "0.0", "1e300", "1e999")),
    ],
)
def test_a_whole_number_is_one_however_json_writes_it(text: str, number: int | None) -> None:
    body = f'{{"name": "x", "scopes": ["read"], "expires_in_s": {text}}}'
    if number is None:
        with pytest.raises(ValidationError):
            ApiKeyRequest.model_validate(json.loads(body))
    else:
        assert ApiKeyRequest.model_validate(json.loads(body)).expires_in_s == number
        assert ApiKeyRequest.model_validate_json(body).expires_in_s == number


def test_ids_sort_by_the_time_they_were_given() -> None:
    ids = [new_id("job") for _ in range(100)]
    assert len(set(ids)) == 100
    assert [each[:16] for each in ids] == sorted(each[:16] for each in ids)


def test_a_frame_gives_its_rows_bare_and_listed_alike() -> None:
    frame = ScoreRequest.model_validate(
        {"input_data": {"columns": ["image"], "index": [1, 0], "data": ["a", ["b"]]}}
    )
    assert frame.input_data.rows() == ("a", "b")
    with pytest.raises(ValidationError, match="1 entries for 2 rows"):
        ScoreRequest.model_validate({"input_data": {"index": [1], "data": ["a", "b"]}})


def _job() -> dict[str, object]:
    return {
        "id": new_id("job"),
        "model": "rtmdet-ins_demo",
        "state": "queued",
        "images": {"total": 1},
        "created_at": "2026-11-21T06:00:00Z",
    }
