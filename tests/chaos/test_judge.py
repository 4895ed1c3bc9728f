"""The judge finds what is wrong: in made-up histories, and in stores that were tampered with."""

from __future__ import annotations

import dataclasses
import hashlib
from collections.abc import Callable, Iterable
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyard_ledger import JobRecord, keys
from boxyard_schemas import Scope, UrlImage, new_id
from boxyard_schemas.words import utc_now
from chaos.callers import inline
from chaos.history import (
    Accepted,
    Asked,
    Blunder,
    Due,
    Erasing,
    Heard,
    History,
    Line,
    Missing,
    Orphan,
    Refused,
    Result,
    Stands,
    Told,
)
from chaos.inventory import take_inventory
from chaos.judge import Verdict, judge
from chaos.stack import MODEL
from chaos.trial import Trial
from pictures import png, scene

ENDS = st.sampled_from(["succeeded", "failed", "cancelled", "expired"])
Lines = list[Line]


def honest(number: int, tenant: str, end: str, attempts: int, refused: int) -> Lines:
    """All that is said of a job with one callback, from the first question to the end."""
    job, marker, delivery = f"job_{number}", f"{tenant}-{number}", f"dlv_{number}"
    sha256 = hashlib.sha256(job.encode()).hexdigest()
    result = sha256 if end in ("succeeded", "failed") else ""
    lines: Lines = [Asked(tenant, marker, ("p",), 1)]
    lines += [Refused(tenant, marker, 503)] * refused
    lines += [
        Accepted(tenant, job, marker),
        Told(tenant, job, marker, "queued", 1, 2),
        Told(tenant, job, marker, "running", 3, 4),
        Told(tenant, job, marker, end, 5, 6),
        Heard(tenant, job, marker, end, delivery, verified=True, result=marker if result else ""),
    ]
    named = marker if result else ""
    lines.append(Stands(tenant, job, marker, end, attempts, True, result, result, named))
    lines.append(Due(tenant, delivery, job, "delivered"))
    if result:
        lines.append(Result(tenant, job, marker, job, ("p",), sha256))
    return lines


@st.composite
def histories(draw: st.DrawFn) -> Lines:
    """What two tenants and their receivers saw of some jobs when all went well."""
    lines: Lines = []
    for number in range(draw(st.integers(1, 5))):
        tenant, end = draw(st.sampled_from("ab")), draw(ENDS)
        lines += honest(number, tenant, end, draw(st.integers(1, 4)), draw(st.integers(0, 2)))
    return lines


def change(lines: Lines, kind: type[Line], **members: Any) -> Lines:
    """The lines with the first job's line of a kind changed."""
    first = next(line for line in lines if isinstance(line, kind))
    changed = dataclasses.replace(first, **members)
    return [changed if line is first else line for line in lines]


def drop(lines: Lines, kind: type[Line]) -> Lines:
    first = next(line for line in lines if isinstance(line, kind))
    return [line for line in lines if line is not first]


def succeeded(lines: Lines) -> Lines:
    """With a job before all others that surely has a result."""
    return [*honest(99, "a", "succeeded", 1, 0), *lines]


Harm = Callable[[Lines], Lines]
HARMS: dict[str, tuple[str, Harm]] = {
    "a record is gone": ("lost", lambda all_: drop(all_, Stands)),
    "its owner is told 404": ("lost", lambda all_: [*all_, Missing("a", "job_99")]),
    "a job does not end": ("stuck", lambda all_: change(all_, Stands, state="running")),
    "the ledger says another end": ("double", lambda all_: change(all_, Stands, state="dead")),
    "a receiver hears another end": ("double", lambda all_: change(all_, Heard, state="dead")),
    "an end is taken back": (
        "double",
        lambda all_: [*all_, Told("a", "job_99", "a-99", "running", 7, 8)],
    ),
    "two jobs of one key": ("double", lambda all_: [*all_, Accepted("a", "job_98", "a-99")]),
    "another result is read": ("double", lambda all_: change(all_, Result, sha256="other")),
    "one id for two ends": ("double", lambda all_: [*all_, *_heard_again(job="job_98")]),
    "the blob is gone": ("wrong", lambda all_: change(all_, Stands, stored="", named="")),
    "the blob is damaged": ("wrong", lambda all_: change(all_, Stands, stored="x", named="")),
    "a success without a result": ("wrong", lambda all_: change(all_, Stands, recorded="")),
    "a result names another job": ("wrong", lambda all_: change(all_, Result, named="job_1")),
    "a result of another picture": ("wrong", lambda all_: change(all_, Result, pictures=("q",))),
    "another tenant reads a state": (
        "foreign",
        lambda all_: [*all_, Told("b", "job_99", "a-99", "succeeded", 7, 8)],
    ),
    "another tenant reads a result": ("foreign", lambda all_: change(all_, Result, tenant="b")),
    "another tenant's receiver hears": ("foreign", lambda all_: change(all_, Heard, tenant="b")),
    "a job under another tenant": ("foreign", lambda all_: change(all_, Stands, tenant="b")),
    "a job of nobody": (
        "unasked",
        lambda all_: [*all_, Stands("a", "job_98", "a-98", "cancelled")],
    ),
    "another job under a key": ("unasked", lambda all_: change(all_, Stands, keyed=False)),
    "a callback of no delivery": ("unasked", lambda all_: [*all_, *_heard_again(delivery="dlv")]),
    "a job outlives its erasure": (
        "unerased",
        lambda all_: [*all_, Erasing("a", "job_99", told=True)],
    ),
    "nobody was told": ("undelivered", lambda all_: drop(all_, Heard)),
    "a delivery is missing": ("undelivered", lambda all_: drop(all_, Due)),
    "a delivery is not over": ("undelivered", lambda all_: change(all_, Due, state="pending")),
    "a forged callback": ("unverified", lambda all_: change(all_, Heard, verified=False)),
    "a server's fault": ("blunders", lambda all_: [*all_, Blunder("a", "job_99: 500")]),
    "a blob of nobody": ("orphans", lambda all_: [*all_, Orphan("a", "a/results/job/1.json")]),
}


def _heard_again(*, job: str = "job_99", delivery: str = "dlv_99") -> Iterable[Line]:
    yield Heard("a", job, "a-99", "succeeded", delivery, verified=True)


@given(histories())
def test_an_honest_history_holds(lines: Lines) -> None:
    verdict = judge(History(lines))
    assert verdict.held, verdict.breaches
    assert verdict.accepted == sum(isinstance(line, Accepted) for line in lines)
    assert verdict.refused == sum(isinstance(line, Refused) for line in lines)


@pytest.mark.parametrize("harm", HARMS)
@given(lines=histories())
def test_every_kind_of_harm_is_found_among_honest_jobs(harm: str, lines: Lines) -> None:
    breach, do = HARMS[harm]
    verdict = judge(History(do(succeeded(lines))))
    assert breach in verdict.breaches, verdict.breaches
    found = {name for names in verdict.breaches.values() for name in names}
    assert found & {"job_99", "job_98", "dlv_99", "dlv", "a/results/job/1.json", "job_99: 500"}
    honest_ones = {f"{kind}_{number}" for kind in ("job", "dlv") for number in range(5)}
    assert not found & honest_ones, "honest jobs are not blamed"


def test_what_was_asked_and_never_answered_may_be_there_or_not() -> None:
    silent: Lines = [Asked("a", "a-1"), Refused("a", "a-1", 0)]
    assert judge(History(silent)).held
    there = [*silent, Stands("a", "job_1", "a-1", "cancelled")]
    assert judge(History(there)).held
    assert judge(History(there)).accepted == 1


def test_an_erasure_that_was_not_answered_may_have_been_done_or_not() -> None:
    lines = [*honest(1, "a", "succeeded", 1, 0), Erasing("a", "job_1")]
    assert judge(History(lines)).held
    assert judge(History([*lines, Missing("a", "job_1")])).held


@pytest.fixture
def done(trial: Trial) -> tuple[Trial, str, str]:
    """A trial that held, and a job of each tenant with a result and a callback."""
    jobs = []
    for caller in trial.callers:
        mine = [
            caller.submit(inline(png(scene())), delivery=trial.callback(caller)) for _ in range(3)
        ]
        jobs.append(mine[0])
    verdict = trial.verdict()
    assert verdict.held, verdict.breaches
    return trial, jobs[0], jobs[1]


def judge_again(trial: Trial) -> Verdict:
    """The verdict on the stores as they are now."""
    told = [line for line in trial.history if not isinstance(line, Stands | Due | Orphan)]
    history = History(told)
    tenants = [caller.tenant for caller in trial.callers]
    take_inventory(trial.stack.ledger, trial.stack.client, tenants, history)
    return judge(history)


def test_tampered_stores_are_found_out(done: tuple[Trial, str, str]) -> None:
    trial, job, other = done
    ledger, client, (a, b) = trial.stack.ledger, trial.stack.client, trial.callers
    record = keys.job(a.tenant, job)
    result, foreign = (
        ledger.jobs.get(caller.tenant, name).result for caller, name in ((a, job), (b, other))
    )
    assert result is not None
    assert foreign is not None
    kept, whole = client.hgetall(record), ledger.blobs.get(result.key)

    client.delete(record)
    assert judge_again(trial).lost == [job]
    client.hset(record, mapping={**kept, "state": "failed"})
    for entry in ledger.quarantine.all():  # the list's entry, whose record was missing
        ledger.quarantine.restore(entry)
    assert judge_again(trial).double == [job]
    client.hset(record, mapping={**kept, "state": "running"})
    assert judge_again(trial).stuck == [job]
    client.hset(record, mapping={**kept, "result": foreign.model_dump_json()})
    assert {"double", "wrong", "foreign"} <= judge_again(trial).breaches.keys()
    client.hset(record, mapping=kept)

    ledger.blobs.put(result.key, ledger.blobs.get(foreign.key))
    assert judge_again(trial).wrong == [job]
    ledger.blobs.delete(result.key)
    assert judge_again(trial).wrong == [job]
    ledger.blobs.put(result.key, whole)
    ledger.blobs.put(f"{result.key}.other", whole)
    assert judge_again(trial).orphans == [f"{result.key}.other"]
    ledger.blobs.delete(f"{result.key}.other")

    deliveries = client.lrange(keys.deliveries(a.tenant, job), 0, -1)
    client.delete(keys.deliveries(a.tenant, job))
    assert job in judge_again(trial).undelivered
    client.rpush(keys.deliveries(a.tenant, job), *deliveries)
    assert judge_again(trial).held


def test_a_stolen_key_is_found_out(done: tuple[Trial, str, str]) -> None:
    trial, job, _ = done
    a, b = trial.callers
    _, b.key = trial.stack.ledger.api_keys.create(a.tenant, name="stolen", scopes=[Scope.READ])
    assert b.result(job) is not None
    assert b.read(job) is not None
    assert judge_again(trial).foreign == [job]


def test_a_job_that_nobody_submitted_is_found_out(done: tuple[Trial, str, str]) -> None:
    trial, _, _ = done
    smuggled = JobRecord(
        id=new_id("job"),
        tenant=trial.a.tenant,
        model=MODEL,
        images=(UrlImage(url="http://127.0.0.1:1/"),),
        metadata={"marker": f"{trial.a.tenant}-{token_hex(8)}"},
        created_at=utc_now(),
    )
    trial.stack.ledger.jobs.accept(smuggled)
    trial.settle()
    assert judge_again(trial).unasked == [smuggled.id]


def test_a_forged_callback_is_found_out(done: tuple[Trial, str, str]) -> None:
    trial, _, _ = done
    listener = trial.listeners[0]
    genuine = listener.requests[0]
    forged = {**genuine.headers, "webhook-signature": "v1,Zm9yZ2Vk"}
    listener.heard(dataclasses.replace(genuine, headers=forged))
    assert judge_again(trial).unverified == [genuine.headers["webhook-id"]]
