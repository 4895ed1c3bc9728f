from __future__ import annotations

import base64
import json
import time
from concurrent.futures import ThreadPoolExecutor

import httpx
import pytest
import redis

from boxyard_ledger import Ledger, upload_key
from boxyard_schemas import DEMO_MODEL, JobState
from process import await_true

from .conftest import BROKEN, SEEN, Serve, Worker, bearer, later, looks_at_jobs

URL = "https://example.com/1.jpg"
PICTURE = b"\xff\xd8\xff not really a picture"


def submit(api: httpx.Client, **members: object) -> httpx.Response:
    body = {"model": DEMO_MODEL, "images": [{"url": URL}], **members}
    return api.post("/v1/jobs", json=body)


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, object]:
    assert answer.headers["content-type"] == "application/problem+json", answer.text
    body: dict[str, object] = answer.json()
    assert (answer.status_code, body["status"], body["code"]) == (status, status, code), body
    return body


def test_a_job_is_accepted_worked_on_and_its_result_read_as_it_was_stored(
    api: httpx.Client, worker: Worker
) -> None:
    worker.appear()
    accepted = submit(api, metadata={"shelf": "7"})
    assert accepted.status_code == 202
    where = accepted.headers["location"]
    assert accepted.json()["state"] == "queued"
    assert accepted.json()["warnings"] == []
    claim = worker.claim()
    assert api.get(where).json()["state"] == "running"
    result = worker.finish(claim, SEEN)
    ended = api.get(where).json()
    assert (ended["state"], ended["images"]["succeeded"]) == ("succeeded", 1)
    assert ended["metadata"] == {"shelf": "7"}
    read = api.get(f"{where}/result")
    assert read.content == result.model_dump_json().encode()
    assert read.headers["content-type"] == "application/json"


def test_a_result_that_the_store_lost_or_damaged_is_not_given_for_what_was_found(
    api: httpx.Client, worker: Worker, ledger: Ledger
) -> None:
    job = submit(api).json()["id"]
    worker.finish(worker.claim(), SEEN)
    reference = ledger.jobs.get("a", job).result
    assert reference
    ledger.blobs.put(reference.key, b"{}")
    told = problem(api.get(f"/v1/jobs/{job}/result"), 409, "unreadable-record")
    assert told["cause"] == "damaged"
    assert "Submit the job again" in str(told["detail"])
    ledger.blobs.delete(reference.key)
    problem(api.get(f"/v1/jobs/{job}/result"), 404, "not-found")


def test_a_result_asked_for_too_early_says_how_the_job_stands(api: httpx.Client) -> None:
    where = submit(api).headers["location"]
    assert problem(api.get(f"{where}/result"), 409, "not-finished")["state"] == "queued"


def test_waiting_ends_when_the_job_does(api: httpx.Client, worker: Worker) -> None:
    where = submit(api).headers["location"]
    claim = worker.claim()
    with later(0.3, lambda: worker.finish(claim, SEEN)):
        began = time.monotonic()
        ended = api.get(where, params={"wait": 55})
    assert ended.json()["state"] == "succeeded"
    assert time.monotonic() - began < 50


@pytest.mark.parametrize("wait", ["-1", "nan", "soon"])
def test_a_submission_with_no_time_to_wait_is_refused_before_it_is_accepted(
    api: httpx.Client, wait: str
) -> None:
    answer = api.post(
        "/v1/jobs",
        params={"wait": wait},
        json={"model": DEMO_MODEL, "images": [{"url": URL}]},
    )
    problem(answer, 422, "invalid-request")
    assert api.get("/v1/jobs").json()["jobs"] == []


def test_waiting_is_capped_by_the_server(serve: Serve) -> None:
    api = serve(max_wait_s=0.2)
    where = submit(api).headers["location"]
    assert api.get(where, params={"wait": 50}).json()["state"] == "queued"


def test_a_hundred_who_wait_hold_no_thread(serve: Serve, worker: Worker, redis_url: str) -> None:
    api = serve(max_wait_s=600)
    where = submit(api).headers["location"]
    claim = worker.claim()
    limits = httpx.Limits(max_connections=None)
    with (
        httpx.Client(
            base_url=api.base_url, headers=api.headers, timeout=600, limits=limits
        ) as patient,
        ThreadPoolExecutor(100) as people,
    ):
        looks = looks_at_jobs(redis_url)
        waiting = [people.submit(patient.get, where, params={"wait": 600}) for _ in range(100)]
        # The server's pool has 40 threads: were each held, no more would come to look.
        await_true(lambda: looks_at_jobs(redis_url) >= looks + 100, "a hundred who wait")
        assert api.get("/v1/models").status_code == 200
        assert not any(each.done() for each in waiting)
        worker.finish(claim, SEEN)
        assert {each.result().json()["state"] for each in waiting} == {"succeeded"}


def test_twins_with_one_idempotency_key_are_one_job(api: httpx.Client, ledger: Ledger) -> None:
    inline = base64.b64encode(PICTURE).decode()

    def send(_: int) -> httpx.Response:
        body = {"model": DEMO_MODEL, "images": [{"base64": inline}]}
        return api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "order-1"})

    with ThreadPoolExecutor(8) as twins:
        answers = list(twins.map(send, range(8)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(api.get("/v1/jobs").json()["jobs"]) == 1
    assert len(list(ledger.blobs.keys("a/uploads/"))) == 1, "the twins' pictures are not kept"


def test_an_idempotency_key_used_with_another_body_is_a_conflict(
    api: httpx.Client, ledger: Ledger
) -> None:
    def send(picture: bytes) -> httpx.Response:
        image = {"base64": base64.b64encode(picture).decode()}
        body = {"model": DEMO_MODEL, "images": [image]}
        return api.post("/v1/jobs", json=body, headers={"Idempotency-Key": "order-1"})

    assert send(PICTURE).status_code == 202
    problem(send(PICTURE + b"another"), 409, "idempotency-conflict")
    assert len(list(ledger.blobs.keys("a/uploads/"))) == 1


def test_an_inline_picture_is_stored_and_the_record_refers_to_it(
    api: httpx.Client, ledger: Ledger
) -> None:
    image = {"base64": base64.encodebytes(PICTURE).decode(), "reference": "first"}
    job = submit(api, images=[image]).json()["id"]
    (stored,) = ledger.jobs.get("a", job).job.images
    assert stored.reference == "first"
    assert ledger.blobs.get(upload_key("a", stored.upload)) == PICTURE


def test_another_tenants_job_is_not_there(api: httpx.Client) -> None:
    where = submit(api).headers["location"]
    key = bearer("key-b")
    problem(api.get(where, headers=key), 404, "unknown-job")
    problem(api.get(f"{where}/result", headers=key), 404, "unknown-job")
    problem(api.get(f"{where}/deliveries", headers=key), 404, "unknown-job")
    problem(api.post(f"{where}/cancel", headers=key), 404, "unknown-job")
    problem(api.post(f"{where}/replay", headers=key), 404, "unknown-job")
    problem(api.delete(where, headers=key), 404, "unknown-job")
    assert api.get("/v1/jobs", headers=key).json()["jobs"] == []
    assert api.get(where).json()["state"] == "queued"


@pytest.mark.parametrize("name", ["job_1", "job_" + "0" * 32 + ":deliveries", "%2e%2e"])
def test_what_cannot_be_an_id_is_no_jobs(api: httpx.Client, name: str) -> None:
    problem(api.get(f"/v1/jobs/{name}"), 404, "unknown-job")


def test_a_cancelled_job_stays_cancelled_and_its_claim_is_fenced_out(
    api: httpx.Client, worker: Worker
) -> None:
    where = submit(api).headers["location"]
    claim = worker.claim()
    assert api.post(f"{where}/cancel").json()["state"] == "cancelled"
    with pytest.raises(AssertionError):
        worker.finish(claim, SEEN)
    assert api.post(f"{where}/cancel").json()["state"] == "cancelled"
    told = problem(api.get(f"{where}/result"), 409, "not-finished")
    assert told["state"] == "cancelled"
    assert str(told["detail"]).endswith(" ended as cancelled and has no result: Cancelled.")


def test_jobs_are_listed_newest_first_by_state_and_page_by_page(
    api: httpx.Client, worker: Worker
) -> None:
    ids = []
    for _ in range(5):
        ids.append(submit(api).json()["id"])
        time.sleep(0.002)  # ids sort by the millisecond
    worker.finish(worker.claim(), BROKEN)
    first = api.get("/v1/jobs", params={"limit": 3}).json()
    following = api.get("/v1/jobs", params={"limit": 3, "cursor": first["next_cursor"]}).json()
    listed = [job["id"] for job in first["jobs"] + following["jobs"]]
    assert listed == ids[::-1]
    assert following["next_cursor"] is None
    failed = api.get("/v1/jobs", params={"state": JobState.FAILED}).json()["jobs"]
    assert [job["id"] for job in failed] == ids[:1]
    problem(api.get("/v1/jobs", params={"cursor": "x"}), 422, "invalid-request")
    problem(api.get("/v1/jobs", params={"state": "asleep"}), 422, "invalid-request")


def test_an_unknown_model_comes_with_near_names(api: httpx.Client) -> None:
    found = problem(submit(api, model="rtmdet-ins_dem"), 404, "unknown-model")
    assert DEMO_MODEL in found["suggestions"]


def test_a_model_without_workers_is_accepted_with_a_warning(api: httpx.Client) -> None:
    job = submit(api, model="mmd-3x-rtmdet-ins_demo").json()
    assert job["model"] == DEMO_MODEL
    assert "No worker serves" in job["warnings"][0]


def test_what_is_wrong_with_a_body_is_said_in_plain_words(api: httpx.Client) -> None:
    images = [{"url": "ftp://a/b"}, {}, "https://a.example/"]
    answer = submit(api, images=images, parameters={"masks": "png"}, z=1)
    errors = problem(answer, 422, "invalid-request")["errors"]
    assert {each["where"]: each["what"] for each in errors} == {
        "images.0.url": "URL scheme should be 'https' or 'http'",
        "images.1": "an image is given by exactly one of url, base64, s3 or upload",
        "images.2": "an image is given by exactly one of url, base64, s3 or upload",
        "parameters.masks": "should be 'polygon', 'outline', 'rle' or 'none'",
        "z": "the contract has no such member; mind the spelling",
    }
    text = api.post("/v1/jobs", content=b"{", headers={"content-type": "application/json"})
    assert "not JSON" in str(problem(text, 422, "invalid-request")["detail"])


@pytest.mark.parametrize(
    ("members", "where", "what"),
    [
        ({"images": [{"url": "http://2130706433/a"}]}, "images.0.url", "ALLOWED_NETWORKS"),
        ({"images": [{"url": "http://localhost./a"}]}, "images.0.url", "ALLOWED_NETWORKS"),
        ({"images": [{"url": "http://[::ffff:10.0.0.1]/"}]}, "images.0.url", "10.0.0.1"),
        ({"images": [{"url": "http://me:it@example.com/"}]}, "images.0.url", "password"),
        ({"images": [{"s3": "s3://theirs/a.jpg"}]}, "images.0.s3", "ALLOWED_BUCKETS"),
        ({"images": [{"base64": ""}]}, "images.0.base64", "empty"),
        ({"images": [{"base64": str(PICTURE)}]}, "images.0.base64", "Python bytes object"),
        ({"images": [{"base64": "aGVsbG8="}]}, "images.0.base64", "this is text"),
        ({"images": [{"base64": "photo.jpg"}]}, "images.0.base64", "the name of a file"),
        ({"images": [{"base64": URL}]}, "images.0.base64", "give it as `url`"),
        ({"images": [{"url": URL}] * 65}, "images", "at most 64"),
        ({"delivery": {"s3": "s3://theirs/out"}}, "delivery.s3", "ALLOWED_BUCKETS"),
        (
            {"delivery": {"callback": {"url": "http://169.254.169.254/"}}},
            "delivery.callback.url",
            "169.254.169.254",
        ),
        ({"delivery": {"endpoint": "end_" + "0" * 32}}, "delivery.endpoint", "No endpoint"),
    ],
)
def test_what_is_plainly_not_allowed_is_refused_at_once(
    api: httpx.Client, members: dict[str, object], where: str, what: str
) -> None:
    (found,) = problem(submit(api, **members), 422, "invalid-request")["errors"]
    assert found["where"] == where
    assert what in found["what"]
    assert api.get("/v1/jobs").json()["jobs"] == []


def test_what_the_operator_allows_is_accepted(serve: Serve) -> None:
    api = serve(allowed_networks="127.0.0.0/8", allowed_hosts="camera")
    images = [{"url": "http://127.0.0.1/a"}, {"url": "http://camera/a"}, {"s3": "s3://bucket/a"}]
    assert submit(api, images=images, delivery={"s3": "s3://bucket/out"}).status_code == 202


def test_the_deliveries_of_a_job_are_listed_once_it_has_ended(
    api: httpx.Client, worker: Worker
) -> None:
    url = "https://example.com/hook"
    where = submit(api, delivery={"callback": {"url": url}}).headers["location"]
    assert api.get(f"{where}/deliveries").json() == {"deliveries": []}
    worker.finish(worker.claim(), SEEN)
    (delivery,) = api.get(f"{where}/deliveries").json()["deliveries"]
    assert (delivery["target"], delivery["state"], delivery["attempts"]) == (url, "pending", [])


def test_the_trace_context_is_recorded_and_nonsense_is_not(
    api: httpx.Client, ledger: Ledger
) -> None:
    context = f"00-{'a' * 32}-{'b' * 16}-01"
    for sent, kept in ((context, context), ("nonsense", None)):
        body = {"model": DEMO_MODEL, "images": [{"url": URL}]}
        job = api.post("/v1/jobs", json=body, headers={"traceparent": sent}).json()["id"]
        assert ledger.jobs.get("a", job).job.traceparent == kept


def test_the_key_order_of_a_body_does_not_change_what_it_says(api: httpx.Client) -> None:
    body = {"model": DEMO_MODEL, "images": [{"url": URL}], "metadata": {"a": "1", "b": "2"}}
    turned = {**dict(reversed(body.items())), "metadata": {"b": "2", "a": "1"}}
    headers = {"Idempotency-Key": "k", "Content-Type": "application/json"}
    answers = [
        api.post("/v1/jobs", content=json.dumps(each), headers=headers) for each in (body, turned)
    ]
    assert answers[0].json()["id"] == answers[1].json()["id"]


@pytest.mark.parametrize(
    "body",
    [b"", b"null", b"[]", b'{"a":"\xff"}', b"[" * 100_000, b'{"\\ud800":1}', b"9" * 5000],
)
def test_a_body_that_cannot_be_read_is_the_callers_to_mend(api: httpx.Client, body: bytes) -> None:
    answer = api.post("/v1/jobs", content=body, headers={"Content-Type": "application/json"})
    assert answer.status_code in (400, 422)
    problem(answer, answer.status_code, answer.json()["code"])


def test_a_submission_may_wait_for_the_end_of_its_job(api: httpx.Client, worker: Worker) -> None:
    body = {"model": DEMO_MODEL, "images": [{"url": "https://example.com/1.jpg"}]}
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(api.post, "/v1/jobs?wait=30", json=body)
        worker.finish(worker.claim(), SEEN)
        ended = answer.result()
    assert (ended.status_code, ended.json()["state"]) == (200, "succeeded")
    assert ended.headers["location"] == f"/v1/jobs/{ended.json()['id']}"


def test_a_submission_that_waited_in_vain_is_accepted_all_the_same(api: httpx.Client) -> None:
    body = {"model": DEMO_MODEL, "images": [{"url": "https://example.com/1.jpg"}]}
    answer = api.post("/v1/jobs?wait=0.2", json=body)
    assert (answer.status_code, answer.json()["state"]) == (202, "queued")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/v1/jobs?wiat=30"),
        ("GET", "/v1/jobs?stat=queued"),
        ("GET", "/v1/jobs/job_0?timeout=3"),
        ("POST", "/v1/uploads?name=a.jpg"),
        ("POST", "/score?modle=x"),
        ("GET", "/v1/models?size=3"),
        ("GET", "/v1/models/x?served=true"),
        ("DELETE", "/v1/jobs/job_0?force=1"),
    ],
)
def test_a_query_parameter_that_does_not_exist_is_named(
    api: httpx.Client, method: str, path: str
) -> None:
    answer = api.request(method, path)
    (found,) = problem(answer, 422, "invalid-request")["errors"]  # type: ignore[misc]
    assert found["where"] == path.partition("?")[2].partition("=")[0]
    assert "no such query parameter" in found["what"]


@pytest.mark.parametrize("how", ["version-2", "junk", "wrong-type"])
def test_a_job_that_cannot_be_read_is_answered_409_and_fails_no_page(
    api: httpx.Client, redis_url: str, how: str
) -> None:
    raw = redis.Redis.from_url(redis_url)
    bad, good = submit(api).json()["id"], submit(api).json()["id"]
    key = f"boxyard:a:job:{bad}"
    record = json.loads(raw.hget(key, "record"))
    match how:
        case "version-2":
            raw.hset(key, "record", json.dumps({**record, "version": 2}))
        case "junk":
            raw.hset(key, "record", b"\xff")
        case _:
            raw.delete(key)
            raw.set(key, "junk")
    raw.sadd("boxyard:workers", "odd")
    raw.set("boxyard:worker:odd", json.dumps({"id": "odd", "version": 2}))
    assert api.get("/v1/models").status_code == 200
    for _ in range(2):
        page = api.get("/v1/jobs")
        assert [job["id"] for job in page.json()["jobs"]] == [good]
        told = [
            api.get(f"/v1/jobs/{bad}"),
            api.get(f"/v1/jobs/{bad}/result"),
            api.post(f"/v1/jobs/{bad}/cancel"),
            api.delete(f"/v1/jobs/{bad}"),
        ]
        for answer in told:
            if how == "wrong-type":
                problem(answer, 404, "unknown-job")
            else:
                assert "cannot be read" in problem(answer, 409, "unreadable-record")["detail"]
    assert submit(api).status_code == 202
    raw.close()
