"""The catalogue over HTTP: what is listed, what is found, and which names are going out of use."""

from __future__ import annotations

import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import httpx
import pytest

from boxyard_ledger import EmbeddedRedis, Ledger
from boxyard_schemas import DEMO_MODEL, CatalogueEntry, Model, resolve_model
from boxyard_schemas.catalogue import catalogue
from boxyard_schemas.errors import Conflict, NotFound

from .conftest import SEEN, Worker
from .test_jobs import problem, submit
from .test_score import URL, frame

LEGACY = "sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco"
SUCCESSOR = "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco"


def names(api: httpx.Client, **filters: object) -> set[str]:
    answer = api.get("/v1/models", params={**filters})
    assert answer.status_code == 200, answer.text
    return {model["name"] for model in answer.json()["models"]}


def test_every_model_of_the_index_is_listed_with_all_that_is_known(api: httpx.Client) -> None:
    listed = api.get("/v1/models").json()["models"]
    assert [model["name"] for model in listed] == list(catalogue())
    for model in listed:
        entry = catalogue()[model["name"]].model_dump(mode="json", exclude={"aliases"})
        assert model.items() >= entry.items()
        assert set(catalogue()[model["name"]].aliases) < set(model["aliases"])
    found = api.get(f"/v1/models/{SUCCESSOR}").json()
    assert found == next(model for model in listed if model["name"] == SUCCESSOR)


def test_listing_all_models_asks_redis_only_about_those_that_had_jobs(
    api: httpx.Client, embedded_redis: EmbeddedRedis, ledger: Ledger
) -> None:
    import redis

    submit(api, model=DEMO_MODEL)
    submit(api, model=SUCCESSOR)
    with redis.Redis.from_url(embedded_redis.url, decode_responses=True) as spy:
        spy.config_resetstat()
        listed = api.get("/v1/models").json()["models"]
        asked = spy.info("commandstats")
    assert {model["name"]: model["queued"] for model in listed if model["queued"]} == {
        DEMO_MODEL: 1,
        SUCCESSOR: 1,
    }
    assert asked["cmdstat_zcard"]["calls"] == 2 * 3  # one a priority
    assert ledger.jobs.waiting() == {DEMO_MODEL: 1, SUCCESSOR: 1}


@pytest.mark.parametrize(
    ("filters", "fits"),
    [
        ({"task": "object-detection"}, lambda each: each.task == "object-detection"),
        ({"family": "rtmdet"}, lambda each: each.family == "RTMDet"),
        ({"min_box_ap": 50.5}, lambda each: (each.box_ap or 0) >= 50.5),
        ({"min_mask_ap": 40}, lambda each: (each.mask_ap or 0) >= 40),
        ({"max_size": 640}, lambda each: 0 < _longer_side(each) <= 640),
        ({"text": "r50 sparse"}, lambda each: each.name.startswith("sparse-rcnn_r50")),
        (
            {"task": "instance-segmentation", "min_mask_ap": 42, "max_size": 1000},
            lambda each: (each.mask_ap or 0) >= 42 and 0 < _longer_side(each) <= 1000,
        ),
    ],
    ids=["task", "family", "box-ap", "mask-ap", "size", "text", "several"],
)
def test_filters_leave_the_models_that_fit(
    api: httpx.Client, filters: dict[str, object], fits: Callable[[CatalogueEntry], bool]
) -> None:
    expected = {name for name, entry in catalogue().items() if fits(entry)}
    assert 0 < len(expected) < len(catalogue())
    assert names(api, **filters) == expected


def _longer_side(entry: CatalogueEntry) -> int:
    """In pixels; 0 where pictures are taken as they are."""
    return max(entry.input_size or (0, 0))


def test_text_is_looked_for_in_the_papers_title_too(api: httpx.Client) -> None:
    assert SUCCESSOR in names(api, text="LEARNABLE proposals")
    assert names(api, text="no model says this") == set()


def test_served_models_are_those_that_a_worker_serves(api: httpx.Client, ledger: Ledger) -> None:
    assert names(api, served=True) == set()
    Worker(ledger, DEMO_MODEL).appear()
    Worker(ledger, "my-own").appear()
    assert names(api, served=True) == {DEMO_MODEL, "my-own"}
    assert names(api, served=False) == set(catalogue()) - {DEMO_MODEL}
    assert names(api, served=True, min_box_ap=1) == {DEMO_MODEL}


def test_a_model_of_ones_own_has_what_its_worker_says(api: httpx.Client, ledger: Ledger) -> None:
    Worker(ledger, "my-own").appear()
    model = Model.model_validate(api.get("/v1/models/my-own").json())
    assert (model.task, model.box_ap, model.config) == (None, None, "")
    assert model.classes == ("carton", "can")


def test_a_worker_that_still_loads_does_not_hide_what_another_one_knows(
    api: httpx.Client, ledger: Ledger
) -> None:
    Worker(ledger, "my-own").appear()
    (known,) = ledger.workers.all()
    fresh = known.model_copy(update={"id": "a-new-one", "warm": False, "classes": ()})
    ledger.workers.beat(fresh, ttl_s=60)
    model = Model.model_validate(api.get("/v1/models/my-own").json())
    assert [worker.warm for worker in model.workers] == [False, True]
    assert model.classes == ("carton", "can")


@pytest.mark.parametrize(
    ("query", "where"),
    [("task=dancing", "task"), ("min_box_ap=101", "min_box_ap"), ("size=3", "size")],
    ids=["no-such-task", "beyond-percent", "no-such-filter"],
)
def test_a_filter_that_makes_no_sense_is_refused(api: httpx.Client, query: str, where: str) -> None:
    found = problem(api.get(f"/v1/models?{query}"), 422, "invalid-request")
    assert [each["where"] for each in found["errors"]] == [where]


@pytest.mark.parametrize("prefix", ["", "mmd-3x-", "mmdet-3x-"], ids=["bare", "mmd", "mmdet"])
def test_a_legacy_name_answers_with_its_successor_and_says_since_when_it_is_one(
    api: httpx.Client, prefix: str
) -> None:
    answer = api.get(f"/v1/models/{prefix}{LEGACY}")
    assert answer.json()["name"] == SUCCESSOR
    assert LEGACY in answer.json()["legacy_names"]
    _is_deprecated(answer, f"/v1/models/{SUCCESSOR}")
    assert api.get(f"/v1/models/{SUCCESSOR}").json() == answer.json()


def test_a_job_for_a_legacy_name_is_the_successors_and_warns(
    api: httpx.Client, ledger: Ledger
) -> None:
    Worker(ledger, SUCCESSOR).appear()
    twins = [
        api.post(
            "/v1/jobs",
            json={"model": LEGACY, "images": [{"url": URL}]},
            headers={"Idempotency-Key": "one"},
        )
        for _ in range(2)
    ]
    for answer in twins:
        assert answer.json()["model"] == SUCCESSOR
        assert answer.json()["warnings"] == [f"{LEGACY} is a deprecated name: use {SUCCESSOR}."]
        _is_deprecated(answer, f"/v1/models/{SUCCESSOR}")


def test_score_with_a_legacy_name_answers_and_says_what_to_ask_instead(
    api: httpx.Client, ledger: Ledger
) -> None:
    worker = Worker(ledger, SUCCESSOR)
    worker.appear()
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(api.post, f"/score?model={LEGACY}", json=frame(URL))
        worker.finish(worker.claim(), SEEN)
        assert len(answer.result().json()) == 1
        _is_deprecated(answer.result(), f"/score?model={SUCCESSOR}")


def test_names_in_use_are_not_called_deprecated(api: httpx.Client) -> None:
    assert resolve_model(f"mmd-3x-{SUCCESSOR}") == SUCCESSOR
    for answer in (api.get(f"/v1/models/mmd-3x-{SUCCESSOR}"), submit(api), api.get("/v1/models")):
        assert not {"deprecation", "link"} & answer.headers.keys()


def test_a_near_miss_of_any_spelling_is_told_the_name(api: httpx.Client) -> None:
    for near in (SUCCESSOR.replace("3x", "2x"), LEGACY[:-3], f"mmd-3x-{SUCCESSOR[:-1]}"):
        found = problem(api.get(f"/v1/models/{near}"), 404, "unknown-model")
        assert SUCCESSOR in found["suggestions"]


def _is_deprecated(answer: httpx.Response, successor: str) -> None:
    """RFC 9745: an `@` and the seconds since 1970, as structured fields write a date."""
    said = answer.headers["deprecation"]
    assert said[0] == "@"
    assert datetime(2022, 1, 1, tzinfo=UTC) < datetime.fromtimestamp(int(said[1:]), UTC)
    assert datetime.fromtimestamp(int(said[1:]), UTC) < datetime.now(UTC)
    assert answer.headers["link"] == f'<{successor}>; rel="successor-version"'


def test_a_model_stays_known_while_its_worker_restarts_until_it_is_forgotten(
    api: httpx.Client, ledger: Ledger
) -> None:
    Worker(ledger, "my-own").appear()
    ledger.workers.leave("worker-my-own")
    job = submit(api, model="my-own")
    assert job.status_code == 202
    assert "No worker serves my-own now" in job.json()["warnings"][0]
    listed = {model["name"]: model for model in api.get("/v1/models?served=false").json()["models"]}
    assert listed["my-own"]["workers"] == []
    assert api.get("/v1/models/my-own").json()["queued"] == 1
    ledger.served_models.forget("my-own")
    time.sleep(1.1)  # the server asks Redis once a second
    problem(submit(api, model="my-own"), 404, "unknown-model")
    problem(api.get("/v1/models/my-own"), 404, "unknown-model")


def test_a_model_that_was_never_warm_is_not_kept(api: httpx.Client, ledger: Ledger) -> None:
    Worker(ledger, "my-own").appear()
    (record,) = ledger.workers.all()
    loading = record.model_copy(update={"id": "l", "model": "mistyped", "warm": False})
    ledger.workers.beat(loading, ttl_s=60)
    ledger.workers.leave("l")
    problem(submit(api, model="mistyped"), 404, "unknown-model")


def test_a_model_is_not_forgotten_under_its_worker(ledger: Ledger) -> None:
    Worker(ledger, "my-own").appear()
    with pytest.raises(Conflict, match="Stop its workers"):
        ledger.served_models.forget("my-own")
    with pytest.raises(NotFound):
        ledger.served_models.forget("another")


@pytest.mark.parametrize("name", ["nope", "none", "net", "x", "test", "carton-v2"])
def test_names_that_have_nothing_in_common_are_not_suggested(api: httpx.Client, name: str) -> None:
    found = problem(submit(api, model=name), 404, "unknown-model")
    assert found["suggestions"] == []
    assert "Did you mean" not in str(found["detail"])


def test_a_family_is_answered_with_its_models(api: httpx.Client) -> None:
    for family in ("dino", "sparse_rcnn"):
        found = problem(submit(api, model=family), 404, "unknown-model")
        assert len(found["suggestions"]) == 3
        for name in found["suggestions"]:
            assert str(name).startswith(family.replace("_", "-"))


def test_a_mistyped_name_of_ones_own_model_is_suggested(api: httpx.Client, ledger: Ledger) -> None:
    Worker(ledger, "our-shelf_v2").appear()
    found = problem(submit(api, model="our-shelf_v1"), 404, "unknown-model")
    assert found["suggestions"] == ["our-shelf_v2"]
