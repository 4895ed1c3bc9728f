"""Many pictures in, many jobs out: both clients against a server that answers as told."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest

from boxyard_producer import AsyncClient, Client
from boxyard_schemas import Job, UploadImage, new_id
from boxyard_schemas.errors import (
    DeadlineExceeded,
    InvalidRequest,
    UnknownJob,
    UnknownModel,
    UnusableImages,
)

from .conftest import Reply, ScriptedServer

Call = Callable[..., list[Any]]


def job(job_id: str, state: str = "queued") -> Reply:
    body = {
        "id": job_id,
        "model": "rtmdet-ins_demo",
        "state": state,
        "images": {"total": 1},
        "created_at": "2026-11-21T06:00:00Z",
    }
    return Reply(200, body)


def problem(status: int, code: str) -> Reply:
    return Reply(status, {"title": "T", "status": status, "code": code, "detail": "Why."})


def pictures(count: int, taken: list[int] | None = None) -> Iterator[str]:
    for number in range(count):
        if taken is not None:
            taken.append(number)
        yield f"https://p.example/{number}.jpg"


@pytest.fixture(params=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest, server: ScriptedServer) -> Call:
    """`call("submit_many", …, first=2)`: what either client gives, or its first two."""

    def blocking(name: str, *args: Any, first: int | None = None, **options: Any) -> list[Any]:
        with Client(server.url, "k") as client:
            return list(islice(getattr(client, name)(*args, **options), first))

    async def awaited(name: str, *args: Any, first: int | None = None, **options: Any) -> list[Any]:
        found: list[Any] = []
        async with AsyncClient(server.url, "k") as client:
            given = getattr(client, name)(*args, **options)
            while len(found) != first:
                try:
                    found.append(await anext(given))
                except StopAsyncIteration:
                    break
            await given.aclose()
        return found

    if request.param == "blocking":
        return blocking
    return lambda *args, **options: asyncio.run(awaited(*args, **options))


def _sent(server: ScriptedServer) -> list[list[str]]:
    return [[image["url"] for image in json.loads(each.body)["images"]] for each in server.asked]


def test_pictures_become_jobs_of_so_many_in_their_order(call: Call, server: ScriptedServer):
    ids = [new_id("job") for _ in range(3)]
    server.will_answer(*map(job, ids))
    given = call(
        "submit_many",
        "rtmdet-ins_demo",
        pictures(5),
        images_per_job=2,
        at_once=1,
        metadata={"aisle": "7"},
        idempotency_key="nightly",
    )
    assert [each.id for each in given] == ids
    assert _sent(server) == [list(pictures(5))[at : at + 2] for at in (0, 2, 4)]
    keys = [each.headers["idempotency-key"] for each in server.asked]
    assert keys == ["nightly-0", "nightly-1", "nightly-2"]
    assert json.loads(server.asked[2].body)["metadata"] == {"aisle": "7"}


def test_each_job_has_a_key_of_its_own_by_default(call: Call, server: ScriptedServer):
    server.will_answer(*[job(new_id("job")) for _ in range(3)])
    call("submit_many", "rtmdet-ins_demo", pictures(3), images_per_job=1)
    assert len({each.headers["idempotency-key"] for each in server.asked}) == 3


def test_pictures_are_read_as_they_are_needed(call: Call, server: ScriptedServer):
    taken: list[int] = []
    server.will_answer(*[job(new_id("job")) for _ in range(2)])
    assert call("submit_many", "m", pictures(9, taken), images_per_job=2, at_once=1, first=0) == []
    assert taken == []
    call("submit_many", "m", pictures(9, taken), images_per_job=2, at_once=1, first=2)
    assert taken == [0, 1, 2, 3]


def test_no_pictures_are_no_jobs(call: Call, server: ScriptedServer):
    assert call("submit_many", "rtmdet-ins_demo", []) == []
    assert call("as_completed", []) == []
    assert server.asked == []


@pytest.mark.parametrize("wrong", ["images_per_job", "at_once"])
def test_none_at_once_is_refused_before_anything_is_sent(
    call: Call, server: ScriptedServer, wrong: str
):
    with pytest.raises(InvalidRequest, match=f"{wrong} is at least 1"):
        call("submit_many", "rtmdet-ins_demo", pictures(1), **{wrong: 0})
    assert server.asked == []


def test_the_first_failure_ends_it_with_what_was_accepted_before(
    call: Call, server: ScriptedServer
):
    server.will_answer(job(new_id("job")), problem(404, "unknown-model"))
    with pytest.raises(UnknownModel):
        call("submit_many", "m", pictures(9), images_per_job=1, at_once=1)
    assert len(server.asked) == 2


def upload() -> Reply:
    return Reply(201, {"id": new_id("upl"), "bytes": 4, "sha256": "0" * 64})


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Five paths: the second is missing, the fourth is empty."""
    monkeypatch.chdir(tmp_path)
    names = [f"{number}/a.jpg" for number in range(5)]
    for number, name in enumerate(names):
        Path(name).parent.mkdir()
        if number != 1:
            Path(name).write_bytes(b"" if number == 3 else b"jpeg")
    return names


@pytest.mark.parametrize("given", [list, tuple, set, lambda names: dict.fromkeys(names).keys()])
def test_a_collection_is_checked_before_anything_is_sent(
    call: Call, server: ScriptedServer, files: list[str], given: Callable[[list[str]], Any]
):
    with pytest.raises(UnusableImages, match=r"2 of the images.*nothing was sent") as caught:
        call("submit_many", "m", given(files), images_per_job=1)
    assert "1/a.jpg: No such file" in caught.value.detail
    assert "3/a.jpg: the file is empty" in caught.value.detail
    assert server.asked == []


def test_unusable_images_of_a_generator_are_left_out_and_named_at_the_end(
    server: ScriptedServer, files: list[str]
):
    ids = [new_id("job"), new_id("job")]
    server.will_answer(upload(), upload(), job(ids[0]), upload(), job(ids[1]))
    with Client(server.url, "k") as client:
        given = client.submit_many("m", iter([*files, None]), images_per_job=3, at_once=1)  # type: ignore[arg-type]
        assert [next(given).id, next(given).id] == ids
        with pytest.raises(UnusableImages, match="were left out of their jobs") as caught:
            next(given)
    assert [each["index"] for each in caught.value.data["images"]] == [1, 3, 5]
    assert "1/a.jpg" in caught.value.data["images"][0]["detail"]
    assert "NoneType" in caught.value.data["images"][2]["detail"]
    sent = [json.loads(each.body) for each in server.asked if each.path == "/v1/jobs"]
    assert [[image["reference"] for image in each["images"]] for each in sent] == [
        ["0/a.jpg", "2/a.jpg"],
        ["4/a.jpg"],
    ]


def test_a_job_without_a_usable_image_is_not_made(call: Call, server: ScriptedServer):
    with pytest.raises(UnusableImages, match=r"12 of the images.*and 2 more"):
        call("submit_many", "m", (f"{number}.jpg" for number in range(12)), images_per_job=2)
    assert server.asked == []


def test_an_upload_that_the_server_refuses_is_left_out(
    call: Call, server: ScriptedServer, files: list[str]
):
    server.will_answer(problem(413, "too-large"), upload(), job(new_id("job")))
    with pytest.raises(UnusableImages, match=r"image 0: 0/a\.jpg: Why"):
        call("submit_many", "m", [files[0], files[2]], images_per_job=2, at_once=1)
    assert [each.path for each in server.asked] == ["/v1/uploads", "/v1/uploads", "/v1/jobs"]


def test_a_source_that_the_server_refuses_is_left_out(call: Call, server: ScriptedServer):
    unknown = new_id("upl")
    refusal = problem(422, "invalid-request")
    refusal.body["errors"] = [{"where": "images.1.url", "what": "it leads inside"}]
    unheard = problem(404, "unknown-upload")
    unheard.body["upload"] = unknown
    server.will_answer(refusal, unheard, job(new_id("job")))
    urls = list(pictures(3))
    with pytest.raises(UnusableImages) as caught:
        call("submit_many", "m", [*urls, UploadImage(upload=unknown)], at_once=1)
    first, second = caught.value.data["images"]
    assert first == {"index": 1, "detail": f"{urls[1]}: it leads inside"}
    assert (second["index"], unknown in second["detail"]) == (3, True)
    assert [image["url"] for image in json.loads(server.asked[2].body)["images"]] == urls[::2]


def test_a_refusal_of_something_else_ends_it(call: Call, server: ScriptedServer):
    refusal = problem(422, "invalid-request")
    refusal.body["errors"] = [
        {"where": "images.0.url", "what": "it leads inside"},
        {"where": "parameters.text_prompt", "what": "too long"},
    ]
    server.will_answer(refusal)
    with pytest.raises(InvalidRequest, match="Why"):
        call("submit_many", "m", pictures(4), images_per_job=2, at_once=1)
    assert len(server.asked) == 1


def test_an_old_name_is_said_once(call: Call, server: ScriptedServer):
    told = {"Deprecation": "@1680739200"}
    answers = [job(new_id("job")) for _ in range(2)]
    for answer in answers:
        answer.headers.update(told)
    server.will_answer(*answers)
    with pytest.warns(DeprecationWarning, match="old_a is a deprecated name") as warned:
        call("submit_many", "old_a", pictures(2), images_per_job=1)
    assert len(warned) == 1
    assert warned[0].filename == __file__


def test_the_first_job_to_end_comes_first(call: Call, server: ScriptedServer):
    slow, fast = new_id("job"), new_id("job")
    server.will_answer(
        *[job(slow, "running"), job(fast, "queued")],
        job(slow, "running"),  # held by the server for a moment
        *[job(slow, "running"), job(fast, "failed")],
        job(slow, "succeeded"),
    )
    given = call("as_completed", [slow, fast])
    assert [(each.id, each.state) for each in given] == [(fast, "failed"), (slow, "succeeded")]
    assert server.asked[2].path == f"/v1/jobs/{slow}?wait=1"


def test_no_more_jobs_are_taken_than_are_watched(call: Call, server: ScriptedServer):
    ids, taken = [new_id("job") for _ in range(5)], []

    def jobs() -> Iterator[str]:
        for each in ids:
            taken.append(each)
            yield each

    server.will_answer(*[job(each, "succeeded") for each in ids])
    call("as_completed", jobs(), at_once=2, first=1)
    assert taken == ids[:2]


@pytest.mark.parametrize("one", ["id", "job"])
def test_one_job_is_waited_for_in_another_way(call: Call, server: ScriptedServer, one: str):
    whole = Job.model_validate(job(new_id("job")).body)
    with pytest.raises(TypeError, match="give a list, or `wait` for one"):
        call("as_completed", whole if one == "job" else whole.id)
    assert server.asked == []


def test_jobs_that_do_not_end_in_time_are_named(call: Call, server: ScriptedServer):
    slow, fast = new_id("job"), new_id("job")
    server.will_answer(job(slow, "running"), job(fast, "succeeded"), *[job(slow, "running")] * 99)
    with pytest.raises(DeadlineExceeded) as late:
        call("as_completed", [slow, fast], timeout_s=0.1)
    assert late.value.data["jobs"] == [slow]


def test_what_fails_in_the_jobs_is_raised_when_those_before_it_were_given(
    server: ScriptedServer,
):
    watched = new_id("job")

    def jobs() -> Iterator[str]:
        yield watched
        raise FileNotFoundError("missing.jpg")

    server.will_answer(job(watched, "succeeded"))
    with Client(server.url, "k") as client:
        given = client.as_completed(jobs())
        assert next(given).id == watched
        with pytest.raises(FileNotFoundError):
            next(given)


def test_a_job_that_is_gone_while_it_is_watched_is_an_error(call: Call, server: ScriptedServer):
    server.will_answer(problem(404, "unknown-job"))
    with pytest.raises(UnknownJob):
        call("as_completed", [new_id("job")])
