"""Keys by HTTP: what each may do, and how they come and go."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest
import redis

from boxyard_ledger import Ledger
from boxyard_schemas import DEMO_MODEL, Scope, new_id
from boxyard_schemas.words import utc_now

from .conftest import bearer
from .test_jobs import problem

CONTRACT = Path(__file__).parents[2] / "schemas" / "generated" / "openapi.json"
OPEN = {"GET /healthz", "GET /readyz", "GET /metrics", "GET /"}
ADMIN = {
    "DELETE /v1/jobs/{job_id}",
    "POST /v1/jobs/{job_id}/replay",
    "POST /v1/deliveries/replay",
    "POST /v1/deliveries/{delivery_id}/replay",
    "POST /v1/endpoints",
    "PATCH /v1/endpoints/{endpoint_id}",
    "DELETE /v1/endpoints/{endpoint_id}",
    "POST /v1/endpoints/{endpoint_id}/rotate",
    "GET /v1/keys",
    "POST /v1/keys",
    "DELETE /v1/keys/{key_id}",
    "POST /v1/keys/{key_id}/rotate",
    "POST /v1/webhook-secret/rotate",
}
ENQUEUE = {
    "POST /v1/jobs",
    "POST /v1/jobs/{job_id}/cancel",
    "POST /v1/uploads",
    "POST /score",
}
OPERATIONS = sorted(
    f"{method.upper()} {path}"
    for path, methods in json.loads(CONTRACT.read_text())["paths"].items()
    for method in methods
)
GUARDED = [operation for operation in OPERATIONS if operation not in OPEN]

KeyFor = Callable[..., str]


@pytest.fixture
def key_for(ledger: Ledger) -> KeyFor:
    """The text of a key of tenant a with these scopes."""

    def make(*scopes: Scope, **wanted: float) -> str:
        return ledger.api_keys.create("a", name="test", scopes=scopes, **wanted)[1]

    return make


def expected(operation: str) -> Scope:
    if operation in ADMIN:
        return Scope.ADMIN
    return Scope.ENQUEUE if operation in ENQUEUE else Scope.READ


def test_every_operation_that_is_no_reading_is_named_here() -> None:
    assert set(OPERATIONS) >= ADMIN | ENQUEUE
    rest = set(GUARDED) - ADMIN - ENQUEUE
    assert all(operation.startswith("GET ") for operation in rest), rest


@pytest.mark.parametrize("operation", GUARDED)
def test_an_operation_is_refused_without_its_scope_and_to_nobody_else(
    api: httpx.Client, key_for: KeyFor, operation: str
) -> None:
    method, path = operation.split()
    for kind in ("job", "delivery", "endpoint", "key"):
        prefix = {"delivery": "dlv", "endpoint": "end"}.get(kind, kind)
        path = path.replace(f"{{{kind}_id}}", new_id(prefix))
    for scope in Scope:
        answer = api.request(method, path, headers=bearer(key_for(scope)))
        if scope in (expected(operation), Scope.ADMIN):
            assert answer.status_code not in (401, 403), answer.text
        else:
            found = problem(answer, 403, "forbidden")
            assert found["scope"] == expected(operation)
            assert f"`{expected(operation)}`" in str(found["detail"])
            assert f"`{scope}`" in str(found["detail"])


def test_a_body_is_not_read_for_a_key_without_the_scope(api: httpx.Client, key_for: KeyFor) -> None:
    answer = api.post("/v1/jobs", content=b"no JSON", headers=bearer(key_for(Scope.READ)))
    problem(answer, 403, "forbidden")


def test_a_key_made_by_http_opens_what_its_scopes_say_until_it_is_revoked(
    api: httpx.Client,
) -> None:
    wanted = {"name": "line 4", "scopes": ["enqueue"], "expires_in_s": 3600}
    made = api.post("/v1/keys", json=wanted)
    assert made.status_code == 201, made.text
    key = made.json()
    text = key.pop("key")
    assert key["tenant"] == "a"
    body = {"model": DEMO_MODEL, "images": [{"url": "https://example.com/a.jpg"}]}
    assert api.post("/v1/jobs", json=body, headers=bearer(text)).status_code == 202
    assert api.get("/v1/jobs", headers=bearer(text)).status_code == 403
    listed = api.get("/v1/keys").json()["keys"]
    assert key in listed
    assert not any("key" in each or "sha256" in each for each in listed)
    assert api.delete(f"/v1/keys/{key['id']}").status_code == 204
    found = problem(api.post("/v1/jobs", json=body, headers=bearer(text)), 401, "unauthorized")
    assert "revoked" in str(found["detail"])
    problem(api.delete(f"/v1/keys/{key['id']}"), 404, "not-found")


def test_an_expired_key_is_told_so_and_a_near_miss_is_not(
    api: httpx.Client, key_for: KeyFor, redis_url: str
) -> None:
    text = key_for(Scope.READ, expires_in_s=3600)
    assert api.get("/v1/jobs", headers=bearer(text)).status_code == 200
    (key,) = (each for each in api.get("/v1/keys").json()["keys"] if each["name"] == "test")
    with redis.Redis.from_url(redis_url, decode_responses=True) as raw:
        stored = raw.hget("boxyard:a:api-keys", key["id"])
        assert isinstance(stored, str)
        now = utc_now().isoformat()
        raw.hset("boxyard:a:api-keys", key["id"], stored.replace(key["expires_at"], now))
    found = problem(api.get("/v1/jobs", headers=bearer(text)), 401, "unauthorized")
    assert "expired at" in str(found["detail"])
    found = problem(api.get("/v1/jobs", headers=bearer(text + "x")), 401, "unauthorized")
    assert "expired" not in str(found["detail"])


def test_a_key_is_rotated_by_http_with_an_overlap(api: httpx.Client, key_for: KeyFor) -> None:
    old = key_for(Scope.READ)
    (key,) = (each for each in api.get("/v1/keys").json()["keys"] if each["name"] == "test")
    new = api.post(f"/v1/keys/{key['id']}/rotate").json()["key"]
    for text in (old, new):
        assert api.get("/v1/jobs", headers=bearer(text)).status_code == 200
    last = api.post(f"/v1/keys/{key['id']}/rotate", json={"overlap_s": 0}).json()["key"]
    assert api.get("/v1/jobs", headers=bearer(old)).status_code == 401
    assert api.get("/v1/jobs", headers=bearer(last)).status_code == 200


@pytest.mark.parametrize("overlap_s", [-1, 31 * 86400, "inf", None])
def test_an_overlap_has_bounds(api: httpx.Client, overlap_s: object) -> None:
    answer = api.post("/v1/webhook-secret/rotate", json={"overlap_s": overlap_s})
    assert answer.status_code == (200 if overlap_s is None else 422)


@pytest.mark.parametrize(
    "wanted",
    [
        {"name": "", "scopes": ["read"]},
        {"name": "x", "scopes": []},
        {"name": "x", "scopes": ["root"]},
        {"name": "x\ny", "scopes": ["read"]},
        {"name": "x", "scopes": ["read"], "tenant": "b"},
        {"name": "x", "scopes": ["read"], "expires_in_s": 0},
    ],
)
def test_a_key_that_makes_no_sense_is_not_made(api: httpx.Client, wanted: object) -> None:
    problem(api.post("/v1/keys", json=wanted), 422, "invalid-request")
    assert [key["name"] for key in api.get("/v1/keys").json()["keys"]] == ["bootstrap"]


def test_another_tenant_s_keys_and_endpoints_are_not_there(api: httpx.Client) -> None:
    key = api.post("/v1/keys", json={"name": "x", "scopes": ["read"]}).json()
    endpoint = api.post("/v1/endpoints", json={"url": "https://example.com/hook"}).json()
    other = bearer("key-b")
    for method, path in (
        ("POST", f"/v1/keys/{key['id']}/rotate"),
        ("DELETE", f"/v1/keys/{key['id']}"),
        ("GET", f"/v1/endpoints/{endpoint['id']}"),
        ("PATCH", f"/v1/endpoints/{endpoint['id']}"),
        ("POST", f"/v1/endpoints/{endpoint['id']}/rotate"),
        ("DELETE", f"/v1/endpoints/{endpoint['id']}"),
    ):
        answer = api.request(method, path, headers=other, json={})
        problem(answer, 404, "not-found")
    assert len(api.get("/v1/keys", headers=other).json()["keys"]) == 1
    assert api.get("/v1/jobs", headers=bearer(key["key"])).status_code == 200
    assert api.get(f"/v1/endpoints/{endpoint['id']}").json()["url"] == endpoint["url"]


@pytest.mark.parametrize(
    "name", ["bootstrap", "key_", "..", "%2e%2e", "key_" + "g" * 32, "a" * 999]
)
def test_what_cannot_be_an_id_is_nobody_s(api: httpx.Client, name: str) -> None:
    problem(api.delete(f"/v1/keys/{name}"), 404, "not-found")
    problem(api.delete(f"/v1/endpoints/{name}"), 404, "not-found")


def test_an_endpoint_is_changed_disabled_and_enabled_by_http(api: httpx.Client) -> None:
    made = api.post("/v1/endpoints", json={"url": "https://example.com/hook"}).json()
    where = f"/v1/endpoints/{made['id']}"
    changed = api.patch(where, json={"events": ["job.dead"], "disabled": True}).json()
    assert changed["events"] == ["job.dead"]
    assert changed["disabled_at"] is not None
    assert changed["disabled_reason"] == "disabled by its owner"
    assert api.get(where).json() == changed
    moved = api.patch(where, json={"url": "https://example.com/moved", "disabled": False}).json()
    assert moved["disabled_at"] is None
    assert (moved["url"], moved["events"]) == ("https://example.com/moved", ["job.dead"])
    found = problem(api.patch(where, json={"url": "http://127.0.0.1/"}), 422, "invalid-request")
    assert "url" in str(found["errors"])
    problem(api.patch(where, json={"secret": "whsec_mine"}), 422, "invalid-request")
    assert api.get(where).json() == moved
