"""Fault 35: tenant B tries the ids of tenant A at every door that the OpenAPI document names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from boxyard_schemas import new_id
from chaos.callers import Caller
from chaos.faults import fault
from chaos.trial import Figures, Trial
from pictures import png, scene

_OPEN = {"name"}
"""Path parameters that name what belongs to nobody, such as a model."""
_QUERIES = {"list_deliveries": {"state": "exhausted"}}
_BODIES = {"change_endpoint": {"disabled": True}}
"""What operations on an id must be sent."""


@dataclass(frozen=True)
class Operation:
    """One of the document, with the ids that its path wants."""

    method: str
    path: str
    name: str
    wants: frozenset[str]
    body: bool

    def ask(self, caller: Caller, ids: dict[str, str]) -> httpx.Response:
        return ask(
            caller,
            self.method,
            self.path.format(**ids),
            json=_BODIES[self.name] if self.body else None,
            params=_QUERIES.get(self.name),
        )


def ask(caller: Caller, method: str, path: str, **how: Any) -> httpx.Response:
    return caller.insist(method, path, **how)


def operations(caller: Caller) -> Iterator[Operation]:
    for path, methods in ask(caller, "GET", "/openapi.json").json()["paths"].items():
        for method, operation in methods.items():
            wants = frozenset(re.findall(r"{(\w+)}", path)) - _OPEN
            body = operation.get("requestBody", {}).get("required", False)
            yield Operation(method.upper(), path, operation["operationId"], wants, body)


def belongings(trial: Trial) -> dict[str, str]:
    """What A has, by the names that paths give to ids."""
    a = trial.a
    endpoint = ask(a, "POST", "/v1/endpoints", json={"url": f"{trial.listeners[0].url}/set-up"})
    key = ask(a, "POST", "/v1/keys", json={"name": "spare", "scopes": ["read"]})
    job = a.submit(a.upload(png(scene())), delivery=trial.callback(a))
    trial.settle()
    (delivery,) = ask(a, "GET", f"/v1/jobs/{job}/deliveries").json()["deliveries"]
    return {
        "job_id": job,
        "delivery_id": delivery["id"],
        "endpoint_id": endpoint.json()["id"],
        "key_id": key.json()["id"],
    }


def nobodys() -> dict[str, str]:
    return {
        "job_id": new_id("job"),
        "delivery_id": new_id("dlv"),
        "endpoint_id": new_id("end"),
        "key_id": new_id("key"),
    }


def views(caller: Caller, doors: list[Operation], ids: dict[str, str]) -> dict[str, Any]:
    """All that a caller can read of its own and of `ids`; models, whose workers come and go, are
    nobody's."""
    read = [door for door in doors if door.method == "GET" and door.path.startswith("/v1/")]
    own = [door for door in read if not door.path.startswith("/v1/models")]
    return {door.path: door.ask(caller, ids).text for door in own}


@fault(35, "another tenant's job, result, upload, delivery, endpoint and key")
def test_no_door_opens_to_another_tenants_ids(trial: Trial, figures: Figures) -> None:
    """every operation of the OpenAPI document with A's ids and B's key"""
    a, b = trial.callers
    mine = belongings(trial)
    doors = list(operations(b))
    before = views(a, doors, mine)
    tried = [door for door in doors if door.wants]
    assert len(tried) >= 10
    for door in tried:
        assert door.wants <= set(mine), f"{door.path} names ids that this test does not know"
        answer, other = door.ask(b, mine), nobodys()
        assert answer.status_code == 404, f"{door.method} {door.path}: {answer.text}"
        assert _neutral(answer.text, mine) == _neutral(door.ask(b, other).text, other)
    for path, text in views(b, doors, mine).items():
        assert not [id for id in mine.values() if id in text and "{" not in path], path
    assert views(a, doors, mine) == before
    figures["operations"] = len(tried)
    trial.conclude(figures)


@fault(35, "another tenant's ids inside a request")
def test_what_a_request_names_must_be_its_own_tenants(trial: Trial, figures: Figures) -> None:
    """jobs and replays by B that name A's upload, endpoint, idempotency key and cursor"""
    a, b = trial.callers
    upload = a.upload(png(scene()))
    mine = belongings(trial)
    assert b.ask(b.new_marker(), upload) is None
    own = b.upload(png(scene()))
    endpoint = {"endpoint": mine["endpoint_id"]}
    assert b.ask(b.new_marker(), own, delivery=endpoint) is None
    replayed = ask(b, "POST", "/v1/deliveries/replay", json=endpoint)
    assert replayed.status_code == 404 or replayed.json()["replayed"] == 0
    a.submit(upload)
    cursor = ask(a, "GET", "/v1/jobs", params={"limit": 1}).json()["next_cursor"]
    job = b.submit(own)
    page = ask(b, "GET", "/v1/jobs", params={"cursor": cursor})
    assert [each["id"] for each in page.json().get("jobs", [])] in ([], [job])
    trial.conclude(figures)


@fault(35, "another tenant's idempotency key")
def test_a_key_that_two_tenants_chose_stands_for_two_jobs(trial: Trial, figures: Figures) -> None:
    """the same Idempotency-Key from A and from B"""
    jobs = []
    for caller in trial.callers:
        body = {"model": "rtmdet-ins_demo", "images": [caller.upload(png(scene())).member]}
        headers = {"Idempotency-Key": "order-7"}
        jobs.append(ask(caller, "POST", "/v1/jobs", json=body, headers=headers).json()["id"])
    assert jobs[0] != jobs[1]
    figures["jobs"] = len({*jobs})


def _neutral(problem: str, ids: dict[str, str]) -> str:
    for name, id in ids.items():
        problem = problem.replace(id, name)
    return problem
