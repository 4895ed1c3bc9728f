"""All that the parts do in Redis is allowed them: the stack's stories, and what Redis refused."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import httpx
import pytest
import redis

from boxyard_ledger import (
    DeliveryAttempt,
    DeliveryState,
    JobRecord,
    Ledger,
    ResultReference,
    WorkerRecord,
)
from boxyard_schemas import new_id
from boxyard_schemas.errors import BoxyardError, NotFound
from boxyard_schemas.words import utc_now
from pictures import png, scene
from process import await_true
from receivers import Receiver, say
from security.conftest import API_KEY, ROOT, Guarded, OpenAs, Stack, make_job
from yard import MODEL

UNSERVED = "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"
"""A model that no worker of the stack has: its jobs wait."""


@pytest.fixture
def api(stack: Stack) -> Iterator[httpx.Client]:
    headers = {"Authorization": f"Bearer {API_KEY}"}
    with httpx.Client(base_url=stack.url, headers=headers, timeout=60) as client:
        yield client


def ask(api: httpx.Client, method: str, path: str, **fields: Any) -> Any:
    answer = api.request(method, path, **fields)
    assert answer.is_success, answer.text
    return answer.json() if answer.content else None


def submit(api: httpx.Client, model: str = MODEL, **fields: Any) -> str:
    upload = ask(api, "POST", "/v1/uploads", content=png(scene()))["id"]
    body = {"model": model, "images": [{"upload": upload}], **fields}
    return str(ask(api, "POST", "/v1/jobs", json=body)["id"])


def await_state(api: httpx.Client, job: str, state: str) -> None:
    def there() -> bool:
        return bool(ask(api, "GET", f"/v1/jobs/{job}", params={"wait": 1})["state"] == state)

    await_true(there, f"{job} to be {state}", lambda: api.get(f"/v1/jobs/{job}").text)


def test_all_that_the_parts_do_is_allowed_them(
    stack: Stack, api: httpx.Client, guarded: Guarded, open_as: OpenAs
) -> None:
    with Receiver() as good, Receiver(say(500)) as bad, Receiver(say(410)) as gone:
        run_jobs_to_their_ends(api, good)
        let_a_job_die_and_replay_it(api, open_as)
        give_up_deliveries_and_replay_them(api, bad)
        change_endpoints(api, gone)
        change_keys(api)
        act_as_the_operator(stack, open_as)
        await_oblivion(api, open_as)
    assert ask(api, "GET", "/readyz") == {"status": "ok"}
    health = subprocess.run(
        [sys.executable, ROOT / "deploy" / "detect_health.py"],
        env=stack.environments["detect"],
        check=False,
    )
    assert health.returncode == 0
    assert guarded.refusals() == []


def run_jobs_to_their_ends(api: httpx.Client, good: Receiver) -> None:
    delivery = {"callback": {"url": good.url}}
    body = {"model": MODEL, "images": [{"base64": _base64()}], "delivery": delivery}
    twice = [
        ask(api, "POST", "/v1/jobs", json=body, headers={"Idempotency-Key": "one"})
        for _ in range(2)
    ]
    assert twice[0]["id"] == twice[1]["id"]
    await_state(api, twice[0]["id"], "succeeded")
    ask(api, "GET", f"/v1/jobs/{twice[0]['id']}/result")
    good.wait(1)
    ask(api, "DELETE", f"/v1/jobs/{twice[0]['id']}")
    scored = {"input_data": {"columns": ["image"], "index": [0], "data": [_base64()]}}
    ask(api, "POST", "/score", params={"model": MODEL}, json=scored)
    cancelled = submit(api, UNSERVED, delivery=delivery)
    ask(api, "POST", f"/v1/jobs/{cancelled}/cancel")
    late = submit(api, UNSERVED, expires_in_s=1, delivery=delivery)
    await_state(api, late, "expired")
    good.wait(3)
    ask(api, "GET", "/v1/jobs", params={"state": "succeeded"})
    ask(api, "GET", "/v1/models")


def let_a_job_die_and_replay_it(api: httpx.Client, open_as: OpenAs) -> None:
    job = submit(api, UNSERVED)
    crashing = open_as("detect", lease_s=0.5)
    for _ in range(2):
        await_true(
            lambda: bool(crashing.jobs.claim(UNSERVED, worker="w", max_images=1)), "a claim", str
        )
    await_state(api, job, "dead")
    ask(api, "POST", f"/v1/jobs/{job}/replay")
    ask(api, "DELETE", f"/v1/jobs/{job}")


def give_up_deliveries_and_replay_them(api: httpx.Client, bad: Receiver) -> None:
    job = submit(api, delivery={"callback": {"url": bad.url}})
    await_state(api, job, "succeeded")

    def given_up() -> list[Any]:
        page = ask(api, "GET", "/v1/deliveries", params={"state": "exhausted"})
        return list(page["deliveries"])

    await_true(lambda: bool(given_up()), "a delivery that is given up", str)
    ask(api, "GET", f"/v1/jobs/{job}/deliveries")
    ask(api, "POST", f"/v1/deliveries/{given_up()[0]['id']}/replay")
    await_true(lambda: bool(given_up()), "it to be given up again", str)
    assert ask(api, "POST", "/v1/deliveries/replay", json={})["replayed"] == 1


def change_endpoints(api: httpx.Client, gone: Receiver) -> None:
    endpoint = ask(api, "POST", "/v1/endpoints", json={"url": gone.url})["id"]
    ask(api, "POST", f"/v1/endpoints/{endpoint}/rotate", json={"overlap_s": 60})
    late = submit(api, UNSERVED, expires_in_s=1, delivery={"endpoint": endpoint})
    await_state(api, late, "expired")
    submit(api, delivery={"endpoint": endpoint})

    def disabled() -> bool:
        found = ask(api, "GET", f"/v1/endpoints/{endpoint}")
        return found.get("disabled_at") is not None

    await_true(disabled, "the endpoint to be disabled by its 410", str)
    ask(api, "PATCH", f"/v1/endpoints/{endpoint}", json={"disabled": False})
    ask(api, "GET", "/v1/endpoints")
    ask(api, "DELETE", f"/v1/endpoints/{endpoint}")


def change_keys(api: httpx.Client) -> None:
    made = ask(api, "POST", "/v1/keys", json={"name": "reader", "scopes": ["read"]})
    ask(api, "POST", f"/v1/keys/{made['id']}/rotate", json={"overlap_s": 60})
    ask(api, "DELETE", f"/v1/keys/{made['id']}")
    ask(api, "GET", "/v1/keys")
    ask(api, "POST", "/v1/webhook-secret/rotate", json={"overlap_s": 60})


def act_as_the_operator(stack: Stack, open_as: OpenAs) -> None:
    boxyard = "boxyard_producer.cli"
    stack.run("operator", boxyard, "tenants", "create", "acme")
    stack.run("operator", boxyard, "tenants", "quota", "acme", "--queued-jobs", "5")
    stack.run("operator", boxyard, "tenants", "list")
    stack.run("operator", boxyard, "keys", "create", "--tenant", "acme", "--scope", "read")
    stack.run("operator", boxyard, "keys", "list")
    stack.run("operator", boxyard, "keys", "reseal")
    worker = WorkerRecord(
        id="w", model="my-own", host="here", device="cpu", warm=True, started_at=utc_now()
    )
    workers = open_as("detect").workers
    workers.beat(worker, ttl_s=60)
    workers.leave("w")
    stack.run("operator", boxyard, "models", "forget", "my-own")


def await_oblivion(api: httpx.Client, open_as: OpenAs) -> None:
    """Until retention has removed every job and every upload that none named."""
    ask(api, "POST", "/v1/uploads", content=png(scene()))
    submit(api)
    # The stack's own sweeper keeps all that long: its jobs' time must not be up before their story.
    forgetful = open_as("sweep", retention_s=0.1, upload_ttl_s=0.1)

    def forgotten() -> bool:
        forgetful.sweeps.sweep()
        return not ask(api, "GET", "/v1/jobs")["jobs"] and not list(forgetful.blobs.keys(""))

    await_true(forgotten, "retention", str)


def _base64() -> str:
    return b64encode(png(scene())).decode()


def test_rare_steps_are_allowed_too(guarded: Guarded, open_as: OpenAs) -> None:
    server, detect, deliver, sweep = map(open_as, ("server", "detect", "deliver", "sweep"))
    server.census.take()
    job = make_job()
    server.jobs.accept(job)
    (claim,) = detect.jobs.claim(MODEL, worker="w", max_images=1)
    detect.jobs.renew([claim])
    detect.jobs.requeue(claim, reason="the child died", strikes=[1])
    (claim,) = detect.jobs.claim(MODEL, worker="w", max_images=1)
    result = ResultReference(key="acme/results/x/1.json", sha256="0" * 64, size=2)
    assert detect.jobs.finish(claim, result, succeeded=1, failed=0)
    (held,) = open_as("deliver", delivery_lease_s=0.1).deliveries.claim(worker="d")
    await_true(lambda: sweep.deliveries.release_expired_leases(9) == 1, "a free receiver", str)
    (held,) = deliver.deliveries.claim(worker="d")
    line = DeliveryAttempt(at=utc_now(), outcome="delivered")
    assert deliver.deliveries.record(held, line, state=DeliveryState.DELIVERED)
    sweep.sweeps.sweep()
    server.jobs.erase("acme", job.id)
    with pytest.raises(NotFound):
        server.jobs.get("acme", job.id)
    assert guarded.refusals() == []


def test_what_cannot_be_read_is_quarantined_by_each_part_in_its_own_name(
    guarded: Guarded, open_as: OpenAs
) -> None:
    server, detect, deliver, sweep = map(open_as, ("server", "detect", "deliver", "sweep"))
    indexes = ("leases", "expiries", "ended", "erasures", "receivers", f"ready:{MODEL}:normal")
    with guarded.client("root") as root:

        def spoil() -> None:
            for index in indexes:
                root.delete(f"boxyard:{index}")
                root.set(f"boxyard:{index}", "junk")

        steps: list[Callable[[], object]] = [
            lambda: detect.jobs.claim(MODEL, worker="w", max_images=1),
            sweep.sweeps.sweep,
            lambda: deliver.deliveries.claim(worker="d"),
            lambda: server.jobs.accept(make_job()),
        ]
        for step in steps:
            spoil()
            step()
        for index in indexes:
            root.delete(f"boxyard:{index}")
        root.zadd(f"boxyard:ready:{MODEL}:normal", {f"acme/{new_id('job')}": 1})
        root.zadd("boxyard:leases", {f"acme/{new_id('job')}": 1})
        receiver = "acme/https://receiver.example:443/"
        root.zadd("boxyard:receivers", {receiver: 1})
        root.zadd(f"boxyard:receiver:{receiver}:pending", {f"acme/{new_id('dlv')}": 1})
        for step in steps[:3]:
            step()
    found = open_as("operator").quarantine.all()
    assert {each.reason for each in found} == {"missing", "wrong-type"}
    assert guarded.refusals() == []


JUNK_NAMES = ("", "no-name", "acme/", "/x", "acme/job_1 x", "../..:job")
"""Entries that name nothing: the keys made of them must be ones that the role may use."""


def damaged_job(root: redis.Redis, server: Ledger, damage: Mapping[str, str]) -> JobRecord:
    job = make_job()
    server.jobs.accept(job)
    root.hset(f"boxyard:acme:job:{job.id}", mapping=damage)
    return job


def test_each_part_passes_unreadable_entries_in_each_index_that_it_reads(
    guarded: Guarded, open_as: OpenAs
) -> None:
    """With the rights of its own role alone, and none of its scripts is refused a key."""
    server, detect, deliver, sweep = map(open_as, ("server", "detect", "deliver", "sweep"))
    receiver = "acme/https://receiver.example:443/"
    ready = f"boxyard:ready:{MODEL}:normal"
    pending = f"boxyard:receiver:{receiver}:pending"
    swept = ("leases", "expiries", "ended", "erasures", "loose-uploads", "receiver-leases")
    with guarded.client("root") as root:
        for damage in (
            {"record": "{"},
            {"images": "x"},
            {"token": "nan"},
            {"strikes": "[1, 2, 3]"},
        ):
            job = damaged_job(root, server, damage)
            for index in ("leases", "expiries", "ended"):
                root.zadd(f"boxyard:{index}", {f"acme/{job.id}": 1})
        for index in (ready, pending, "boxyard:receivers", *(f"boxyard:{name}" for name in swept)):
            root.zadd(index, dict.fromkeys(JUNK_NAMES, 1))
        root.zadd("boxyard:receivers", {receiver: 1})
        for index in ("jobs", "jobs:queued", "exhausted"):
            root.zadd(f"boxyard:acme:{index}", dict.fromkeys(JUNK_NAMES, 0))
        root.zadd("boxyard:erasures", {f"first acme/results/{job.id}/": 1})
        root.sadd("boxyard:models", "", "no model")
        root.sadd(f"boxyard:receiver:{receiver}:sending", *JUNK_NAMES)
        good = make_job()
        server.jobs.accept(good)
        claims = detect.jobs.claim(MODEL, worker="w", max_images=8)
        assert [claim.job for claim in claims] == [good]
        deliver.deliveries.claim(worker="d")
        server.jobs.list("acme")
        server.deliveries.exhausted("acme")
        sweep.sweeps.sweep()
        for index in (ready, pending, "boxyard:leases", "boxyard:expiries", "boxyard:ended"):
            assert f"acme/{job.id}" not in root.zrange(index, 0, -1), index
            assert not set(JUNK_NAMES) & set(root.zrange(index, 0, -1)), index
        operator = open_as("operator").quarantine
        assert {each.reason for each in operator.all()} >= {"unreadable", "missing", "not-running"}
    assert guarded.refusals() == []


def test_a_key_of_a_wrong_type_that_a_part_may_only_read_is_passed_and_listed(
    guarded: Guarded, open_as: OpenAs
) -> None:
    detect, deliver, sweep = map(open_as, ("detect", "deliver", "sweep"))
    job = make_job()
    with guarded.client("root") as root:
        steps: dict[str, Callable[[], object]] = {
            "boxyard:acme:endpoints": lambda: detect.endpoints.callbacks("acme"),
            "boxyard:models": sweep.sweeps.ring_missing_bells,
            f"boxyard:acme:job:{job.id}": lambda: absent(lambda: deliver.jobs.get("acme", job.id)),
            "boxyard:acme:tenant": lambda: absent(lambda: deliver.tenants.webhook_secrets("acme")),
        }
        for key, step in steps.items():
            root.set(key, "junk")
            step()
            assert root.get(key) == "junk"
            root.delete(key)
        assert {(each.place, each.reason) for each in open_as("operator").quarantine.all()} == {
            (key, "wrong-type") for key in steps
        }


def absent(step: Callable[[], object]) -> None:
    with pytest.raises(NotFound):
        step()


def test_the_operator_restores_and_deletes_whatever_was_quarantined(
    guarded: Guarded, open_as: OpenAs
) -> None:
    server, detect, sweep = map(open_as, ("server", "detect", "sweep"))
    operator = open_as("operator")
    with guarded.client("root") as root:
        for how in (operator.quarantine.restore, operator.quarantine_review.delete):
            job = damaged_job(root, server, {"images": "x"})
            assert not detect.jobs.claim(MODEL, worker="w", max_images=8)
            root.set("boxyard:leases", "junk")
            root.zadd("boxyard:ended", {f"acme/{new_id('job')}": 1})
            sweep.sweeps.sweep()
            with suppress(BoxyardError):
                root.hset(f"boxyard:acme:job:{job.id}", "record", "{")
                server.jobs.get("acme", job.id)
            found = operator.quarantine_review.all()
            assert {each.reason for each in found} >= {"incomplete", "wrong-type", "missing"}
            (renamed,) = [each.place for each in found if each.reason == "wrong-type"]
            root.delete(renamed)  # repaired: it is what leases are
            root.zadd(renamed, {"acme/job": 1})
            assert sum(map(how, found)) >= 3
            assert operator.quarantine.count() == 0
            root.delete("boxyard:leases")
    assert guarded.refusals() == []


def test_a_step_of_a_sweep_that_fails_keeps_no_other_from_running(
    guarded: Guarded, open_as: OpenAs
) -> None:
    server, job = open_as("server"), make_job()
    server.jobs.accept(job)
    server.jobs.cancel("acme", job.id)
    with guarded.client("root") as root:
        rights = root.acl_getuser("sweep")["keys"]
        names = rights.split() if isinstance(rights, str) else rights
        less = [name for name in names if name != "%R~boxyard:models"]
        assert len(less) == len(names) - 1
        root.execute_command("ACL", "SETUSER", "sweep", "resetkeys", *less)
        assert open_as("sweep", retention_s=1e-3).sweeps.sweep_records().forgotten == 1
    assert guarded.refusals() == ["sweep: key boxyard:models"]
