"""Both clients tell the same stories, against real HTTP."""

from __future__ import annotations

import asyncio
import json
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import httpx
import pytest

from boxyard_producer import AsyncClient, Client
from boxyard_producer.client import Retries
from boxyard_schemas import (
    Callback,
    Delivery,
    Job,
    JobState,
    Parameters,
    Priority,
    UploadImage,
    new_id,
)
from boxyard_schemas.errors import (
    DeadlineExceeded,
    InvalidRequest,
    NotFinished,
    RequestError,
    ServiceError,
    SetupError,
    TooManyRequests,
    Unauthorized,
    Unavailable,
    UnknownJob,
    UnknownModel,
)

from .conftest import PROVENANCE, Reply, ScriptedServer

Call = Callable[..., Any]
QUICK = Retries(first_s=0.001)
PAGED = ("iter_jobs", "exhausted", "submit_many", "as_completed")


def job(state: str = "queued", job_id: str | None = None) -> dict[str, Any]:
    return {
        "id": job_id or new_id("job"),
        "model": "rtmdet-ins_demo",
        "state": state,
        "images": {"total": 1},
        "created_at": "2026-11-21T06:00:00Z",
    }


def problem(status: int, code: str, **more: Any) -> Reply:
    return Reply(status, {"title": "T", "status": status, "code": code, "detail": "Why.", **more})


@pytest.fixture(params=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest, server: ScriptedServer) -> Call:
    """`call("submit", …)` on either client."""

    def blocking(name: str, *args: Any, **options: Any) -> Any:
        with Client(server.url, "k", retries=QUICK) as client:
            answer = getattr(client, name)(*args, **options)
            return list(answer) if name in PAGED else answer

    async def awaited(name: str, *args: Any, **options: Any) -> Any:
        async with AsyncClient(server.url, "k", retries=QUICK) as client:
            if name in PAGED:
                return [each async for each in getattr(client, name)(*args, **options)]
            return await getattr(client, name)(*args, **options)

    if request.param == "blocking":
        return blocking
    return lambda *args, **options: asyncio.run(awaited(*args, **options))


def test_a_job_says_everything_that_its_caller_asked_for(call: Call, server: ScriptedServer):
    server.will_answer(Reply(202, job()))
    call(
        "submit",
        "rtmdet-ins_demo",
        ["https://pictures.example/a.jpg", "s3://bucket/b.jpg"],
        parameters=Parameters(score_threshold=0.5, masks="none"),
        delivery=Delivery(callback=Callback(url="https://me.example/hook")),
        priority=Priority.HIGH,
        expires_in_s=60,
        metadata={"batch": "7"},
        idempotency_key="once",
    )
    (asked,) = server.asked
    body = json.loads(asked.body)
    assert (asked.method, asked.path) == ("POST", "/v1/jobs")
    assert asked.headers["authorization"] == "Bearer k"
    assert asked.headers["idempotency-key"] == "once"
    assert body["images"] == [
        {"url": "https://pictures.example/a.jpg"},
        {"s3": "s3://bucket/b.jpg"},
    ]
    assert body["parameters"]["score_threshold"] == 0.5
    assert body["delivery"]["callback"]["url"] == "https://me.example/hook"
    assert (body["priority"], body["expires_in_s"]) == ("high", 60)
    assert body["metadata"] == {"batch": "7"}


def test_local_images_are_uploaded_and_named_by_their_path_as_it_was_given(
    call: Call, server: ScriptedServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    picture = Path("a/yard.jpg")
    picture.parent.mkdir()
    picture.write_bytes(b"jpeg")
    uploads = [new_id("upl"), new_id("upl")]
    server.will_answer(
        *[Reply(201, {"id": each, "bytes": 4, "sha256": "0" * 64}) for each in uploads],
        Reply(202, job()),
    )
    call("submit", "rtmdet-ins_demo", [picture, b"bytes"])
    assert [asked.body for asked in server.asked[:2]] == [b"jpeg", b"bytes"]
    assert json.loads(server.asked[2].body)["images"] == [
        {"upload": uploads[0], "reference": "a/yard.jpg"},
        {"upload": uploads[1]},
    ]


@pytest.mark.parametrize(
    "one",
    ["https://p.example/a.jpg", "HTTPS://p.example/a.jpg", UploadImage(upload=f"upl_{'0' * 32}")],
    ids=["url", "capitals", "upload"],
)
def test_one_picture_needs_no_list(call: Call, server: ScriptedServer, one: Any):
    server.will_answer(Reply(202, job()))
    call("submit", "rtmdet-ins_demo", one)
    assert len(json.loads(server.asked[0].body)["images"]) == 1


class Drawn:
    """A picture of another library's."""


@pytest.mark.parametrize(
    "wrong",
    [None, Drawn(), [Drawn()]],
    ids=["none", "drawn", "list"],
)
def test_what_is_no_picture_is_named_by_its_kind(call: Call, server: ScriptedServer, wrong: Any):
    with pytest.raises(TypeError, match=r"not (NoneType|Drawn); encode .* as PNG"):
        call("submit", "rtmdet-ins_demo", wrong)
    assert server.asked == []


def test_a_job_in_place_of_its_id_is_told_apart(call: Call, server: ScriptedServer):
    whole = Job.model_validate(job())
    for name in ("wait", "result", "cancel", "deliveries", "replay_delivery", "model"):
        with pytest.raises(TypeError, match=r"job\.id.*not the Job"):
            call(name, whole)
    assert server.asked == []


def test_what_cannot_be_a_job_is_refused_before_anything_is_sent(
    call: Call, server: ScriptedServer
):
    with pytest.raises(InvalidRequest, match="expires_in_s"):
        call("submit", "rtmdet-ins_demo", "https://p.example/a.jpg", expires_in_s=0)
    with pytest.raises(InvalidRequest, match=r"give the path itself, /yard\.jpg"):
        call("submit", "rtmdet-ins_demo", "file:///yard.jpg")
    with pytest.raises(InvalidRequest, match="images"):
        call("submit", "rtmdet-ins_demo", [])
    with pytest.raises(InvalidRequest, match="url"):
        call("submit", "rtmdet-ins_demo", "https://")
    with pytest.raises(TypeError, match="an image is"):
        call("submit", "rtmdet-ins_demo", [7])
    assert server.asked == []


def test_a_busy_server_and_a_dropped_connection_are_tried_again_under_the_same_key(
    call: Call, server: ScriptedServer
):
    server.will_answer(
        problem(503, "unavailable"),
        None,
        Reply(502, b"<html>bad gateway</html>"),
        problem(429, "too-many-requests"),
        Reply(202, job()),
    )
    call("submit", "rtmdet-ins_demo", "https://p.example/a.jpg")
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == 5


def test_two_submissions_have_different_keys(call: Call, server: ScriptedServer):
    server.will_answer(Reply(202, job()), Reply(202, job()))
    for _ in range(2):
        call("submit", "rtmdet-ins_demo", "https://p.example/a.jpg")
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 2


def test_retries_end_and_say_what_the_server_said(call: Call, server: ScriptedServer):
    server.will_answer(*[problem(503, "unavailable", retry_after_s=0)] * 5)
    with pytest.raises(Unavailable, match="Why") as caught:
        call("models")
    assert caught.value.data == {"retry_after_s": 0}
    assert len(server.asked) == 5


def test_the_server_says_when_to_come_back_in_seconds_or_by_date():
    retries = Retries(patience_s=7200, chance=lambda: 0.0)
    in_an_hour = format_datetime(datetime.now(UTC) + timedelta(hours=1), usegmt=True)
    soon = _answer(503, {"Retry-After": "7"})
    at = _answer(503, {"Retry-After": in_an_hour})
    tomorrow = _answer(503, {"Retry-After": "86400"})
    assert retries.delay_s(soon, 1) == 7
    assert 7 < (Retries().delay_s(soon, 1) or 0) < 7.7
    assert 3500 < (retries.delay_s(at, 1) or 0) <= 3600
    assert retries.delay_s(tomorrow, 1) is None


def test_who_is_told_when_to_come_back_does_so_until_patience_ends():
    retries = Retries(patience_s=30, chance=lambda: 0.0)
    busy = _answer(429, {"Retry-After": "7"})
    assert retries.delay_s(busy, 1, spent_s=22) == 7
    assert retries.delay_s(busy, 1, spent_s=24) is None
    assert Retries(patience_s=0).delay_s(busy, 1) is None
    assert Retries(patience_s=0).delay_s(_answer(503, {}), 1) is None


def test_a_server_that_says_when_is_asked_more_often_than_one_that_does_not(
    call: Call, server: ScriptedServer
):
    busy = problem(429, "too-many-requests", limit="queued-per-model")
    busy.headers["Retry-After"] = "0"
    server.will_answer(*[busy] * 7, None, *[busy] * 2, Reply(202, job()))
    call("submit", "rtmdet-ins_demo", "https://p.example/a.jpg")
    assert len({asked.headers["idempotency-key"] for asked in server.asked}) == 1
    assert len(server.asked) == 11


def test_patience_ends_with_what_the_server_said_last(call: Call, server: ScriptedServer):
    busy = problem(429, "too-many-requests", limit="jobs-per-minute", retry_after_s=3600)
    busy.headers["Retry-After"] = "3600"
    server.will_answer(busy)
    with pytest.raises(TooManyRequests) as caught:
        call("submit", "rtmdet-ins_demo", "https://p.example/a.jpg")
    assert caught.value.data == {"limit": "jobs-per-minute", "retry_after_s": 3600}


def test_dead_jobs_are_replayed_and_jobs_erased(call: Call, server: ScriptedServer):
    name = new_id("job")
    server.will_answer(Reply(200, job(job_id=name)), Reply(204, b""), problem(404, "unknown-job"))
    assert call("replay", name).id == name
    assert call("delete", name) is None
    with pytest.raises(UnknownJob):
        call("delete", name)
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("POST", f"/v1/jobs/{name}/replay"),
        ("DELETE", f"/v1/jobs/{name}"),
        ("DELETE", f"/v1/jobs/{name}"),
    ]


def test_pauses_grow_and_are_spread_by_chance():
    always, never = Retries(chance=lambda: 1.0), Retries(chance=lambda: 0.0)
    answer = _answer(503, {})
    assert [always.delay_s(answer, attempt) for attempt in (1, 2, 3, 4, 5)] == [0.5, 1, 2, 4, None]
    assert never.delay_s(answer, 3) == 0


def _answer(status: int, headers: dict[str, str]) -> Any:
    return httpx.Response(status, headers=headers)


@pytest.mark.parametrize(
    ("status", "code", "kind"),
    [
        (401, "unauthorized", Unauthorized),
        (404, "unknown-model", UnknownModel),
        (409, "not-finished", NotFinished),
        (418, "said-by-a-newer-server", RequestError),
        (500, "said-by-a-newer-server", ServiceError),
    ],
)
def test_a_problem_becomes_the_error_that_its_code_names(
    call: Call, server: ScriptedServer, status: int, code: str, kind: type[Exception]
):
    server.will_answer(problem(status, code, suggestions=["x"]))
    with pytest.raises(kind) as caught:
        call("result", new_id("job"))
    assert type(caught.value) is kind
    assert caught.value.data["suggestions"] == ["x"]  # type: ignore[attr-defined]  # by kind
    assert len(server.asked) == 1


def test_an_answer_that_is_not_boxyards_is_named_as_such(call: Call, server: ScriptedServer):
    server.will_answer(Reply(200, b"<html>hello</html>"), Reply(403, b"<html>go away</html>"))
    with pytest.raises(ServiceError, match="is it a Boxyard server"):
        call("models")
    with pytest.raises(RequestError, match=r"GET http://127\.0\.0\.1:\d+/v1/models answered 403"):
        call("models")


@pytest.mark.parametrize("kind", [Client, AsyncClient])
def test_nobody_at_the_address_is_a_clear_error(kind: type[Client | AsyncClient]):
    with socket.socket() as deaf:  # bound all the while, so that nobody else listens there
        deaf.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{deaf.getsockname()[1]}"
        client = kind(url, "k", retries=Retries(attempts=2, first_s=0.001))
        with pytest.raises(Unavailable, match=f"{url} cannot be reached.*boxyard up"):
            _models(client)


def _models(client: Client | AsyncClient) -> Any:
    async def awaited(client: AsyncClient) -> Any:
        async with client:
            return await client.models()

    if isinstance(client, AsyncClient):
        return asyncio.run(awaited(client))
    with client:
        return client.models()


def test_waiting_asks_until_the_job_has_ended(call: Call, server: ScriptedServer):
    job_id = new_id("job")
    states = ("queued", "running", "succeeded")
    server.will_answer(*[Reply(200, job(state, job_id)) for state in states])
    assert call("wait", job_id).state is JobState.SUCCEEDED
    assert server.asked[0].path == f"/v1/jobs/{job_id}?wait=20"


def test_waiting_ends_at_the_deadline_and_names_the_job(call: Call, server: ScriptedServer):
    job_id = new_id("job")
    server.will_answer(*[Reply(200, job("running", job_id))] * 9)
    with pytest.raises(DeadlineExceeded, match=r"running after 0\.3 s") as caught:
        call("wait", job_id, timeout_s=0.3)
    assert caught.value.data == {"job": job_id}


def test_jobs_are_read_page_by_page(call: Call, server: ScriptedServer):
    first, second = new_id("job"), new_id("job")
    server.will_answer(
        Reply(200, {"jobs": [job(job_id=first)], "next_cursor": "c 1"}),
        Reply(200, {"jobs": [job(job_id=second)], "next_cursor": None}),
    )
    assert [each.id for each in call("iter_jobs", JobState.QUEUED)] == [first, second]
    assert [asked.path for asked in server.asked] == [
        "/v1/jobs?state=queued&limit=100",
        "/v1/jobs?state=queued&limit=100&cursor=c+1",
    ]


def test_cancel_and_result_are_typed(call: Call, server: ScriptedServer):
    job_id = new_id("job")
    result = {
        "job": job_id,
        "images": [{"status": "failed", "code": "undecodable-image", "detail": "Cut short."}],
        "provenance": PROVENANCE,
    }
    server.will_answer(Reply(200, job("cancelled", job_id)), Reply(200, result))
    assert call("cancel", job_id).state is JobState.CANCELLED
    assert call("result", job_id).images[0].code == "undecodable-image"
    assert [asked.path.removeprefix(f"/v1/jobs/{job_id}") for asked in server.asked] == [
        "/cancel",
        "/result",
    ]


def test_deliveries_are_listed_and_made_again(call: Call, server: ScriptedServer):
    delivery = {
        "id": new_id("dlv"),
        "job": new_id("job"),
        "kind": "callback",
        "target": "https://me.example/hook",
        "state": "exhausted",
        "created_at": "2026-11-21T06:00:00Z",
    }
    server.will_answer(
        Reply(200, {"deliveries": [delivery]}),
        Reply(200, {"deliveries": [delivery], "next_cursor": delivery["id"]}),
        Reply(200, {"deliveries": [delivery]}),
        Reply(200, {**delivery, "state": "pending"}),
        Reply(200, {"replayed": 5, "next_cursor": delivery["id"]}),
        Reply(200, {"replayed": 2, "next_cursor": None}),
    )
    (known,) = call("deliveries", delivery["job"])
    assert [each.id for each in call("exhausted")] == [known.id] * 2
    assert call("replay_delivery", known.id).state == "pending"
    assert call("replay_exhausted", endpoint := new_id("end")) == 7
    assert [(asked.method, asked.path) for asked in server.asked] == [
        ("GET", f"/v1/jobs/{known.job}/deliveries"),
        ("GET", "/v1/deliveries?state=exhausted&limit=100"),
        ("GET", f"/v1/deliveries?state=exhausted&limit=100&cursor={known.id}"),
        ("POST", f"/v1/deliveries/{known.id}/replay"),
        ("POST", "/v1/deliveries/replay"),
        ("POST", "/v1/deliveries/replay"),
    ]
    first, second = (json.loads(asked.body) for asked in server.asked[-2:])
    assert first == {"endpoint": endpoint}
    assert second == {"endpoint": endpoint, "cursor": known.id}
    with pytest.raises(InvalidRequest):
        call("replay_exhausted", "all")


def test_a_job_id_cannot_lead_elsewhere(call: Call, server: ScriptedServer):
    server.will_answer(problem(404, "unknown-job"))
    with pytest.raises(RequestError):
        call("job", "../uploads?x")
    assert server.asked[0].path == "/v1/jobs/..%2Fuploads%3Fx"


def model(name: str) -> dict[str, Any]:
    return {"name": name, "queue": f"detect.{name}"}


def test_models_are_listed_by_what_they_must_be(call: Call, server: ScriptedServer):
    server.will_answer(Reply(200, {"models": [model("a")]}))
    (found,) = call("models", task="object-detection", min_box_ap=50.5, text="r50 x", family=None)
    assert found.name == "a"
    asked = server.asked[0].path
    assert asked == "/v1/models?task=object-detection&text=r50+x&min_box_ap=50.5"


def test_a_filter_that_makes_no_sense_is_refused_before_it_is_sent(
    call: Call, server: ScriptedServer
):
    with pytest.raises(InvalidRequest, match="min_box_ap"):
        call("models", min_box_ap=101)
    assert server.asked == []


def test_one_model_is_found_by_any_name(call: Call, server: ScriptedServer):
    server.will_answer(Reply(200, model("a")), problem(404, "unknown-model", suggestions=["a"]))
    assert call("model", "mmd-3x-a").name == "a"
    with pytest.raises(UnknownModel) as unknown:
        call("model", "b/c")
    assert unknown.value.data["suggestions"] == ["a"]
    assert [asked.path for asked in server.asked] == ["/v1/models/mmd-3x-a", "/v1/models/b%2Fc"]


def test_a_deprecated_name_is_a_warning_at_the_callers_line(server: ScriptedServer):
    told = {"Deprecation": "@1680739200", "Link": '</v1/models/a>; rel="successor-version"'}
    server.will_answer(*[Reply(200, model("a"), told), Reply(202, job(), told)] * 2)

    async def ask() -> None:
        async with AsyncClient(server.url, "k") as client:
            await client.model("old_a")
            await client.submit("old_a", "https://p.example/a.jpg")

    with warnings.catch_warnings(record=True) as warned, Client(server.url, "k") as client:
        warnings.simplefilter("always")
        asyncio.run(ask())
        client.model("old_a")
        client.submit("old_a", "https://p.example/a.jpg")
    assert {each.category for each in warned} == {DeprecationWarning}
    assert [Path(each.filename).name for each in warned] == [Path(__file__).name] * 4
    said = [str(each.message) for each in warned]
    assert said[0] == "old_a is a deprecated name: use a."
    assert said[3] == "old_a is a deprecated name: use rtmdet-ins_demo."


def test_names_in_use_warn_of_nothing(call: Call, server: ScriptedServer):
    server.will_answer(Reply(200, model("a")))
    call("model", "a")  # a warning would be an error here


def test_address_and_key_come_from_the_environment(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
):
    monkeypatch.setenv("BOXYARD_URL", server.url + "/")
    monkeypatch.setenv("BOXYARD_API_KEY", "from-outside")
    server.will_answer(Reply(200, {"models": []}))
    with Client() as client:
        assert client.models() == ()
    assert server.asked[0].path == "/v1/models"
    assert server.asked[0].headers["authorization"] == "Bearer from-outside"


def test_a_missing_key_and_a_wrong_address_say_what_to_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("BOXYARD_API_KEY", raising=False)
    with pytest.raises(SetupError, match="BOXYARD_API_KEY"):
        Client("http://localhost")
    for wrong in ("ftp://x", "localhost:8000", "http://"):
        with pytest.raises(SetupError, match="BOXYARD_URL"):
            Client(wrong, "k")


def test_a_key_that_was_read_from_a_file_may_have_a_line_break(
    monkeypatch: pytest.MonkeyPatch, server: ScriptedServer
):
    monkeypatch.setenv("BOXYARD_API_KEY", "from-a-file\n")
    server.will_answer(Reply(200, {"models": []}))
    with Client(server.url) as client:
        client.models()
    assert server.asked[0].headers["authorization"] == "Bearer from-a-file"


@pytest.mark.parametrize("key", ["schlüssel", "two words", "two\nlines"], ids=range(3))
def test_what_can_be_no_key_is_refused_at_once_and_never_quoted(key: str):
    with pytest.raises(SetupError, match="BOXYARD_API_KEY") as caught:
        Client("http://localhost", key)
    assert key not in str(caught.value)


def test_the_client_needs_the_base_install_alone():
    code = (
        "import sys, boxyard_producer; "
        "print([m for m in ('redis', 'celery', 'boto3', 'fastapi', 'numpy', 'PIL', 'typer')"
        " if m in sys.modules])"
    )
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert loaded.stdout.strip() == "[]"


def test_a_poll_that_the_server_does_not_hold_is_asked_again_without_waiting(
    call: Call, server: ScriptedServer
):
    name = new_id("job")
    full = problem(429, "too-many-requests", limit="waits", retry_after_s=0)
    full.headers["Retry-After"] = "0"
    for _ in range(3):
        server.will_answer(full, Reply(200, job(job_id=name)))
    server.will_answer(full, Reply(200, job(job_id=name, state="succeeded")))
    assert call("wait", name).state == "succeeded"
    polled = [asked.path for asked in server.asked]
    assert polled == [f"/v1/jobs/{name}?wait=20", f"/v1/jobs/{name}"] * 4
