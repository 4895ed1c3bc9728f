"""Each part has the rights in Redis that it needs, found by its real work, and no others."""

from __future__ import annotations

import subprocess
import sys
from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from boxyard_ledger import DeliveryAttempt, DeliveryState, JobRecord, Ledger, ResultReference
from boxyard_schemas import Scope, UrlImage, new_id
from boxyard_schemas.errors import NotFound, SetupError
from boxyard_schemas.words import utc_now
from pictures import png, scene
from process import await_true
from receivers import Receiver, say
from security.conftest import API_KEY, ROOT, Guarded, Stack
from yard import MODEL

UNSERVED = "vfnet_r50-mdconv-c3-c5_fpn_ms-2x_coco"
"""A model that no worker of the stack has: its jobs wait."""
OpenAs = Callable[..., Ledger]


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
        act_as_the_operator(stack)
        await_oblivion(api)
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


def act_as_the_operator(stack: Stack) -> None:
    boxyard = "boxyard_producer.cli"
    stack.run("operator", boxyard, "tenants", "create", "acme")
    stack.run("operator", boxyard, "tenants", "quota", "acme", "--queued-jobs", "5")
    stack.run("operator", boxyard, "tenants", "list")
    stack.run("operator", boxyard, "keys", "create", "--tenant", "acme", "--scope", "read")
    stack.run("operator", boxyard, "keys", "list")
    stack.run("operator", boxyard, "keys", "reseal")


def await_oblivion(api: httpx.Client) -> None:
    """Until retention has removed every job and every upload that none named."""
    ask(api, "POST", "/v1/uploads", content=png(scene()))
    submit(api)
    await_true(lambda: not ask(api, "GET", "/v1/jobs")["jobs"], "retention", str)


def _base64() -> str:
    return b64encode(png(scene())).decode()


def make_job() -> JobRecord:
    return JobRecord.model_validate(
        {
            "id": new_id("job"),
            "tenant": "acme",
            "model": MODEL,
            "images": [UrlImage(url="https://pictures.example/a.jpg")],
            "delivery": {"callback": {"url": "https://receiver.example/"}},
            "created_at": utc_now(),
        }
    )


def test_rare_steps_are_allowed_too(guarded: Guarded, open_as: OpenAs) -> None:
    server, detect, deliver, sweep = map(open_as, ("server", "detect", "deliver", "sweep"))
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


HASHES_OF_KEYS = ("boxyard:api-keys", "boxyard:acme:api-keys", "boxyard:acme:bootstrap")
SECRETS = ("boxyard:acme:tenant",)
FORBIDDEN = [
    *(
        (role, ("HGETALL", key))
        for role in ("detect", "deliver", "sweep")
        for key in HASHES_OF_KEYS
    ),
    *((role, ("HGETALL", key)) for role in ("detect", "sweep") for key in SECRETS),
    *((role, ("HSET", "boxyard:acme:tenant", "a", "b")) for role in ("detect", "deliver", "sweep")),
    *((role, ("SADD", "boxyard:tenants", "mine")) for role in ("detect", "deliver", "sweep")),
    ("deliver", ("ZADD", f"boxyard:ready:{MODEL}:high", "1", "acme/job")),
    ("deliver", ("HSET", "boxyard:acme:job:job_1", "state", "queued")),
    ("deliver", ("LPUSH", f"detect.{MODEL}", "bell")),
    ("deliver", ("PUBLISH", "boxyard:finished", "acme/job")),
    ("detect", ("HSET", "boxyard:acme:endpoints", "ep", "{}")),
    ("detect", ("SUBSCRIBE", "boxyard:finished")),
    ("detect", ("HSET", "boxyard:acme:uploads", "upl", "1")),
    ("operator", ("HGETALL", "boxyard:acme:job:job_1")),
    ("operator", ("ZADD", f"boxyard:ready:{MODEL}:high", "1", "acme/job")),
    ("monitor", ("GET", "boxyard:models")),
    ("server", ("SUBSCRIBE", "another")),
    ("server", ("GET", "not-ours")),
]


def test_a_role_is_refused_what_is_not_its_own(guarded: Guarded) -> None:
    with guarded.client("root") as root:
        said = {
            (role, *words): root.execute_command("ACL", "DRYRUN", role, *words)
            for role, words in FORBIDDEN
        }
    assert [words for words, answer in said.items() if "no permissions" not in answer.lower()] == []


ALLOWED_THOUGH_DANGEROUS = {
    **{role: {"config|get"} for role in ("server", "detect", "deliver", "sweep")},
    "operator": {"config|get", "info", "acl|log", "slowlog|get"},
    "monitor": {"info"},
}


def test_nobody_may_administer_the_server_or_list_what_it_holds(guarded: Guarded) -> None:
    with guarded.client("root") as root:
        names = {
            name
            for kind in ("dangerous", "admin")
            for name in root.execute_command("ACL", "CAT", kind)
        }
        assert names > {"flushall", "keys", "config|set", "shutdown", "debug", "acl|setuser"}
        allowed = {
            role: {name for name in names if may(root, role, name)}
            for role in ALLOWED_THOUGH_DANGEROUS
        }
    assert allowed == ALLOWED_THOUGH_DANGEROUS


def may(root: redis.Redis, role: str, name: str) -> bool:
    """Whether a role may run a command, whatever its arguments are."""
    words = name.split("|")
    arity = abs(root.execute_command("COMMAND", "INFO", name)[name]["arity"])
    arguments = ["x"] * (arity - len(words))
    said = root.execute_command("ACL", "DRYRUN", role, *words, *arguments)
    return "no permissions to run" not in said


def test_who_shows_no_name_or_a_wrong_password_gets_nowhere(guarded: Guarded) -> None:
    at_once = Retry(NoBackoff(), 0)
    for shown in ({}, {"username": "server", "password": "guess"}, {"password": "guess"}):
        with (
            redis.Redis(port=guarded.port, retry=at_once, **shown) as stranger,
            pytest.raises(redis.AuthenticationError),
        ):
            stranger.ping()


def test_a_part_that_lacks_a_right_says_so_and_where_rights_stand(open_as: OpenAs) -> None:
    deliver, detect = open_as("deliver"), open_as("detect")
    beyond: dict[str, Callable[[], object]] = {
        "deliver accepts a job": lambda: deliver.jobs.accept(make_job()),
        "deliver tries keys": lambda: deliver.api_keys.authenticate("guess"),
        "detect reads secrets": lambda: detect.tenants.webhook_secrets("acme"),
        "detect makes a key": lambda: detect.api_keys.create("acme", name="mine", scopes=Scope),
        "sweep makes a tenant": lambda: open_as("sweep").tenants.create("mine"),
        "the operator reads a job": lambda: open_as("operator").jobs.get("acme", new_id("job")),
    }
    for step in beyond.values():
        with pytest.raises(SetupError, match=r"forbids the user.*users\.acl"):
            step()
