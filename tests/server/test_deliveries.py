"""What was told, what was given up, and once more: by the front door."""

from __future__ import annotations

from collections.abc import Callable

import httpx
import pytest

from boxyard_ledger import DeliveryAttempt, DeliveryState, Ledger
from boxyard_schemas import DEMO_MODEL, Scope
from boxyard_schemas.words import utc_now

from .conftest import bearer
from .test_jobs import URL, problem

GiveUp = Callable[..., str]


@pytest.fixture
def give_up(api: httpx.Client, ledger: Ledger) -> GiveUp:
    """A delivery of a cancelled job that ends as exhausted; its id."""

    def make(key: str = "key-a", **delivery: object) -> str:
        wanted = delivery or {"callback": {"url": "https://receiver.example/hook"}}
        headers = bearer(key)
        body = {"model": DEMO_MODEL, "images": [{"url": URL}], "delivery": wanted}
        job = api.post("/v1/jobs", json=body, headers=headers).json()["id"]
        api.post(f"/v1/jobs/{job}/cancel", headers=headers)
        (claim,) = ledger.deliveries.claim(worker="d")
        line = DeliveryAttempt(at=utc_now(), outcome="status-500", detail="it answered 500")
        ledger.deliveries.record(claim, line, state=DeliveryState.EXHAUSTED)
        return claim.delivery.id

    return make


def listed(api: httpx.Client, **params: object) -> dict[str, object]:
    answer = api.get("/v1/deliveries", params={"state": "exhausted", **params})
    assert answer.status_code == 200, answer.text
    found: dict[str, object] = answer.json()
    return found


def test_what_was_given_up_is_listed_and_told_again(api: httpx.Client, give_up: GiveUp) -> None:
    name = give_up()
    (known,) = listed(api)["deliveries"]
    assert (known["id"], known["state"], known["next_attempt_at"]) == (name, "exhausted", None)
    assert known["attempts"][0]["outcome"] == "status-500"
    again = api.post(f"/v1/deliveries/{name}/replay")
    assert again.status_code == 200
    assert (again.json()["state"], again.json()["attempts"]) == ("pending", known["attempts"])
    assert again.json()["next_attempt_at"] is not None
    assert api.get(f"/v1/deliveries/{name}").json() == again.json()
    (of_job,) = api.get(f"/v1/jobs/{known['job']}/deliveries").json()["deliveries"]
    assert of_job == again.json()
    assert listed(api)["deliveries"] == []
    problem(api.post(f"/v1/deliveries/{name}/replay"), 409, "conflict")


def test_pages_follow_each_other(api: httpx.Client, give_up: GiveUp) -> None:
    names = sorted((give_up() for _ in range(3)), reverse=True)
    first = listed(api, limit=2)
    second = listed(api, limit=2, cursor=first["next_cursor"])
    pages = [[each["id"] for each in page["deliveries"]] for page in (first, second)]
    assert pages == [names[:2], names[2:]]
    assert second["next_cursor"] is None


def test_all_are_told_again_or_those_of_one_endpoint(api: httpx.Client, give_up: GiveUp) -> None:
    endpoint = api.post("/v1/endpoints", json={"url": "https://example.com/hook"}).json()["id"]
    give_up()
    give_up(endpoint=endpoint)
    give_up()
    one = api.post("/v1/deliveries/replay", json={"endpoint": endpoint})
    assert one.json() == {"replayed": 1, "next_cursor": None}
    assert api.post("/v1/deliveries/replay").json()["replayed"] == 2
    assert api.post("/v1/deliveries/replay", json={}).json()["replayed"] == 0


def test_a_replay_goes_on_behind_its_cursor(api: httpx.Client, give_up: GiveUp) -> None:
    names = sorted(give_up() for _ in range(3))
    rest = api.post("/v1/deliveries/replay", json={"cursor": names[0]})
    assert rest.json() == {"replayed": 2, "next_cursor": None}
    assert [each["id"] for each in listed(api)["deliveries"]] == names[:1]


def test_another_tenants_deliveries_are_not_there(api: httpx.Client, give_up: GiveUp) -> None:
    name = give_up("key-b")
    assert listed(api) == {"deliveries": [], "next_cursor": None}
    problem(api.get(f"/v1/deliveries/{name}"), 404, "not-found")
    problem(api.post(f"/v1/deliveries/{name}/replay"), 404, "not-found")
    assert api.post("/v1/deliveries/replay").json()["replayed"] == 0
    other = api.get(f"/v1/deliveries/{name}", headers=bearer("key-b"))
    assert other.json()["state"] == "exhausted"


@pytest.mark.parametrize("name", [f"dlv_{0:032x}", "dlv_x", "replay:x", "%2e%2e"])
def test_what_is_no_delivery_is_not_there(api: httpx.Client, name: str) -> None:
    problem(api.get(f"/v1/deliveries/{name}"), 404, "not-found")
    problem(api.post(f"/v1/deliveries/{name}/replay"), 404, "not-found")


@pytest.mark.parametrize(
    "params",
    [
        {},
        {"state": "pending"},
        {"state": "exhausted", "cursor": "dlv_["},
        {"state": "exhausted", "limit": 0},
    ],
)
def test_a_list_of_other_things_is_refused(api: httpx.Client, params: dict[str, object]) -> None:
    problem(api.get("/v1/deliveries", params=params), 422, "invalid-request")


def test_a_replay_of_what_is_no_endpoint_or_cursor_is_refused(api: httpx.Client) -> None:
    for body in ({"endpoint": "all"}, {"cursor": "dlv_["}):
        problem(api.post("/v1/deliveries/replay", json=body), 422, "invalid-request")


def test_replays_are_an_admins_and_lists_a_readers(
    api: httpx.Client, ledger: Ledger, give_up: GiveUp
) -> None:
    name = give_up()
    _, text = ledger.api_keys.create("a", name="eyes", scopes=(Scope.READ, Scope.ENQUEUE))
    reader = bearer(text)
    answer = api.get("/v1/deliveries", params={"state": "exhausted"}, headers=reader)
    assert answer.status_code == 200
    for path in (f"/v1/deliveries/{name}/replay", "/v1/deliveries/replay"):
        problem(api.post(path, headers=reader), 403, "forbidden")
