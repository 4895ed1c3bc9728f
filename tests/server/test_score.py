from __future__ import annotations

import base64
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import httpx
import pytest
import redis

from boxyard_ledger import Ledger, keys, upload_key
from boxyard_schemas import DEMO_MODEL, ImageSuccess

from .conftest import BROKEN, FOUND, SEEN, Serve, Worker
from .test_jobs import problem

PICTURE = b"\xff\xd8\xff some picture"
ROW = base64.encodebytes(PICTURE).decode()
URL = "https://example.com/1.jpg"


@pytest.fixture
def caller() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as people:
        yield people


def frame(*rows: object, **members: object) -> dict[str, object]:
    data = {"columns": ["image"], "index": list(range(len(rows))), "data": list(rows)}
    return {"input_data": data, **members}


def ask(
    caller: ThreadPoolExecutor, api: httpx.Client, body: dict[str, object], query: str = ""
) -> Future[httpx.Response]:
    return caller.submit(api.post, f"/score{query}", json=body)


def test_an_azureml_caller_gets_exactly_what_the_cards_give(
    api: httpx.Client, worker: Worker, ledger: Ledger, caller: ThreadPoolExecutor
) -> None:
    worker.appear()
    answer = ask(caller, api, frame(ROW, [URL], params={"their_own": 1}))
    claim = worker.claim()
    first, second = claim.job.images
    assert ledger.blobs.get(upload_key("a", first.upload)) == PICTURE
    assert str(second.url) == URL
    assert (claim.job.parameters.score_threshold, claim.job.parameters.max_detections) == (0, 1000)
    boxed = FOUND.model_copy(update={"polygon": None})
    gone = FOUND.model_copy(update={"polygon": ()})
    ring = FOUND.model_copy(update={"holes": ((0.2, 0.3, 0.4, 0.3, 0.4, 0.5),)})
    worker.finish(claim, SEEN, SEEN.model_copy(update={"boxes": (boxed, gone, ring)}))
    box = {"topX": 0.1, "topY": 0.2, "bottomX": 0.5, "bottomY": 0.6}
    plain = {"box": box, "label": "can", "score": 0.9}
    polygon = [[0.1, 0.2, 0.5, 0.2, 0.5, 0.6]]
    assert answer.result().json() == [
        {"boxes": [{**plain, "polygon": polygon}]},
        {"boxes": [plain, {**plain, "polygon": [*polygon, [0.2, 0.3, 0.4, 0.3, 0.4, 0.5]]}]},
    ]


def test_our_own_parameters_are_taken_and_checked(
    api: httpx.Client, worker: Worker, caller: ThreadPoolExecutor
) -> None:
    worker.appear()
    answer = ask(caller, api, frame(URL, params={"score_threshold": 0.5}))
    claim = worker.claim()
    assert claim.job.parameters.score_threshold == 0.5
    worker.finish(claim, ImageSuccess(boxes=(), image=SEEN.image))
    assert answer.result().json() == [{"boxes": []}]
    refused = api.post("/score", json=frame(URL, params={"score_threshold": 5}))
    (found,) = problem(refused, 422, "invalid-request")["errors"]
    assert found["where"] == "params.score_threshold"


def test_a_model_that_no_worker_serves_is_answered_at_once_with_how_to_serve_it(
    api: httpx.Client, ledger: Ledger
) -> None:
    for model, command in (
        (DEMO_MODEL, f"boxyard-worker detect --model {DEMO_MODEL}`"),
        ("my-own", "boxyard-worker detect --model my-own --config"),
    ):
        with redis.Redis.from_url(ledger.settings.redis_url) as client:
            client.sadd(keys.SERVED_MODELS, model)  # served once, long ago
        answer = api.post(f"/score?model={model}", json=frame(URL))
        assert command in str(problem(answer, 503, "unavailable")["detail"])
        assert int(answer.headers["retry-after"]) >= 1
    assert ledger.jobs.list("a") == ([], None)


@pytest.mark.parametrize("query", ["", "?model=my-own"])
def test_a_worker_that_restarts_is_waited_for(
    api: httpx.Client, ledger: Ledger, caller: ThreadPoolExecutor, query: str
) -> None:
    worker = Worker(ledger, "my-own")
    worker.appear()
    ledger.workers.leave("worker-my-own")
    answer = ask(caller, api, frame(URL), query)
    worker.finish(worker.claim(), ImageSuccess(boxes=(), image=SEEN.image))
    assert answer.result().json() == [{"boxes": []}]


def test_past_the_deadline_the_job_is_cancelled_and_named(serve: Serve, worker: Worker) -> None:
    worker.appear()
    api = serve(score_deadline_s=0.3, score_model=DEMO_MODEL)
    found = problem(api.post("/score", json=frame(URL)), 504, "deadline-exceeded")
    assert api.get(f"/v1/jobs/{found['job']}").json()["state"] == "cancelled"


def test_a_picture_that_failed_fails_the_request_and_its_row_is_named(
    api: httpx.Client, worker: Worker, caller: ThreadPoolExecutor
) -> None:
    worker.appear()
    answer = ask(caller, api, frame(URL, URL))
    worker.finish(worker.claim(), SEEN, BROKEN)
    (found,) = problem(answer.result(), 422, "invalid-request")["errors"]
    assert found["where"] == "input_data.data.1"
    assert "undecodable-image" in found["what"]


def test_without_a_name_the_one_served_model_scores(api: httpx.Client, ledger: Ledger) -> None:
    refused = problem(api.post("/score", json=frame(URL)), 422, "invalid-request")
    assert "none is served" in str(refused["detail"])
    for name in (DEMO_MODEL, "rtmdet-ins_tiny_8xb32-300e_coco"):
        Worker(ledger, name).appear()
    refused = problem(api.post("/score", json=frame(URL)), 422, "invalid-request")
    assert "2 are served" in str(refused["detail"])


def test_a_name_in_the_query_wins_and_may_be_the_cards_own(
    api: httpx.Client, ledger: Ledger, caller: ThreadPoolExecutor
) -> None:
    other = Worker(ledger, "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco")
    other.appear()
    answer = ask(
        caller, api, frame(URL), "?model=mmd-3x-vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"
    )
    other.finish(other.claim(), ImageSuccess(boxes=(), image=SEEN.image))
    assert answer.result().status_code == 200
    problem(api.post("/score?model=nonsense", json=frame(URL)), 404, "unknown-model")
    problem(api.post("/score?model=a%20b", json=frame(URL)), 404, "unknown-model")


@pytest.mark.parametrize(
    ("body", "where"),
    [
        (frame(*[URL] * 65), "input_data.data"),
        (frame("x"), "input_data.data.0"),
        (frame("http://10.0.0.1/"), "images.0.url"),
        ({"input_data": {"columns": ["image"], "index": [1], "data": ["a", "b"]}}, "input_data"),
        (frame(), "input_data.data"),
    ],
)
def test_a_frame_that_does_not_fit_is_refused(
    serve: Serve, worker: Worker, body: dict[str, object], where: str
) -> None:
    worker.appear()
    api = serve(score_model=DEMO_MODEL)
    (found,) = problem(api.post("/score", json=body), 422, "invalid-request")["errors"]
    assert found["where"] == where


@pytest.mark.parametrize(
    ("row", "what"),
    [
        (base64.b64encode(b"\xff\xd8\xff\xfb\xef\xbeend").decode().replace("+", " "), "spaces"),
        (str(PICTURE), "Python bytes object"),
        ("photo.jpg", "name of a file"),
        ("s3://bucket/photo.jpg", "S3 URI"),
        (base64.b64encode(b"GIF89a" + bytes(20)).decode(), "a GIF image. Convert it to JPEG"),
        ("ftp://example.com/photo.jpg", "a path or an address"),
        ("https://", "URL"),
    ],
)
def test_a_row_that_is_no_image_is_named_before_a_job_is_made(
    serve: Serve, row: str, what: str
) -> None:
    api = serve(score_model=DEMO_MODEL)
    answer = api.post("/score", json=frame(URL, row))
    (found,) = problem(answer, 422, "invalid-request")["errors"]
    assert found["where"] == "input_data.data.1"
    assert what in found["what"]
    assert api.get("/v1/jobs").json()["jobs"] == []


def test_rows_may_be_data_uris_and_url_safe(
    api: httpx.Client, worker: Worker, ledger: Ledger, caller: ThreadPoolExecutor
) -> None:
    worker.appear()
    picture = PICTURE + b"\xfb\xef\xbe\xff"
    rows = [
        "data:image/jpeg;base64," + base64.b64encode(picture).decode(),
        base64.urlsafe_b64encode(picture).decode(),
    ]
    answer = ask(caller, api, frame(*rows))
    claim = worker.claim()
    for image in claim.job.images:
        assert ledger.blobs.get(upload_key("a", image.upload)) == picture
    worker.finish(claim, SEEN, SEEN)
    assert answer.result().status_code == 200


@pytest.mark.parametrize(
    ("body", "where", "what"),
    [
        ("", "body", "send a JSON object"),
        ({"input_data": ""}, "input_data", 'must be an object: {"columns": ["image"], "data"'),
        ({"input_data": [ROW]}, "input_data", 'must be an object: {"columns": ["image"], "data"'),
        ({"input_data": {"data": ROW}}, "input_data.data", "must be a list of rows"),
        (frame(), "input_data.data", "must be a list of rows"),
        (frame(""), "input_data.data.0", "one base64 picture or one URL"),
        (frame(URL, [URL, URL]), "input_data.data.1", "one base64 picture or one URL"),
        (frame({"image": URL}), "input_data.data.0", "one base64 picture or one URL"),
        ({"input_data": {"columns": "image", "data": [URL]}}, "input_data.columns", '["image"]'),
        (
            {"input_data": {"columns": ["image", "text_prompt"], "data": [URL]}},
            "input_data.columns",
            "goes to params",
        ),
        ({"input_data": {"index": ["a"], "data": [URL]}}, "input_data.index", "whole numbers"),
        (frame(URL, params="masks"), "params", "must be an object"),
    ],
)
def test_each_mistake_in_a_frame_is_told_once_and_with_what_belongs_there(
    api: httpx.Client, body: object, where: str, what: str
) -> None:
    (found,) = problem(api.post("/score", json=body), 422, "invalid-request")["errors"]
    assert found["where"] == where
    assert what in found["what"]
