"""The job state machine: one method a Lua script, which says what the step means."""

from __future__ import annotations

import json
from collections.abc import Sequence

import structlog

from boxyard_schemas import JobState
from boxyard_schemas.errors import Unreadable
from boxyard_schemas.words import utc_now

from . import keys
from .connection import Connection, Word
from .endpoints import Endpoints
from .outbox import outbox_args, outbox_keys, plan_deliveries
from .quarantine import Quarantine
from .records import Claim, JobRecord, ResultReference
from .status import read_claim, to_ms
from .tally import Tally

_log = structlog.get_logger(__name__)
_CLAIMED = ("token", "attempts", "strikes", "record")


class Transitions:
    """Steps from state to state; each happens whole or not at all."""

    def __init__(
        self,
        connection: Connection,
        endpoints: Endpoints,
        quarantine: Quarantine,
        tally: Tally | None = None,
    ) -> None:
        self._connection = connection
        self._quarantine = quarantine
        self._endpoints = endpoints
        self._tally = tally or Tally()

    def claim(
        self, jobs: Sequence[tuple[str, str]], *, lease_s: float, max_images: int, worker: str
    ) -> tuple[list[Claim], list[str], int]:
        """Takes what is still ready of `jobs`, pairs of `tenant/job` and ready key.

        Returns:
            Claims, the `tenant/job` of jobs that must expire instead, and how many were moved to
            the quarantine because they cannot be read.
        """
        names = [keys.LEASES, keys.EXPIRIES]
        words: list[Word] = [int(lease_s * 1000), max_images, worker]
        for entry, ready_key in jobs:
            tenant, job_id = keys.split(entry)
            names += [keys.job(tenant, job_id), ready_key]
            names += [keys.listed(tenant, state) for state in (JobState.QUEUED, JobState.RUNNING)]
            words += [entry, job_id]
        taken, expired, moved = self._connection.run("claim", names, words)
        self._quarantine.report(moved)
        claims, aside = [], len(moved)
        for *fields, entry, ready_key, age, expiry in taken:
            try:
                claim = read_claim(entry, dict(zip(_CLAIMED, fields, strict=True)))
            except Unreadable as error:
                self._reject(entry, ready_key, [fields[0], age, error.data["cause"], expiry])
                aside += 1
                continue
            claims.append(claim)
            self._tally.attempts.labels(claim.job.model).inc()
        return claims, expired, aside

    def _reject(self, entry: str, ready_key: str, words: Sequence[Word]) -> None:
        """Undoes the claim of a job that cannot be read, and moves it to the quarantine.

        Args:
            entry: `tenant/job`.
            ready_key: where it was claimed from.
            words: the last arguments of `reject_claim.lua`.
        """
        tenant, job_id = keys.split(entry)
        names = [keys.job(tenant, job_id), ready_key, keys.LEASES]
        names += [keys.listed(tenant, state) for state in (JobState.QUEUED, JobState.RUNNING)]
        names.append(keys.EXPIRIES)
        if self._connection.run("reject_claim", names, [entry, job_id, *words]):
            self._quarantine.report([(ready_key, entry, str(words[2]))])

    def renew(self, claims: Sequence[Claim], lease_s: float) -> set[str]:
        """Prolongs leases; the ids of jobs whose claim no longer holds."""
        names, words = [keys.LEASES], [str(int(lease_s * 1000))]
        for claim in claims:
            names.append(keys.job(claim.job.tenant, claim.job.id))
            words += [keys.member(claim.job.tenant, claim.job.id), str(claim.token)]
        return {claims[index].job.id for index in self._connection.run("renew", names, words)}

    def requeue(
        self,
        claim: Claim,
        *,
        reason: str,
        strikes: Sequence[int] | None = None,
        count_attempt: bool = True,
        only_lost: bool = False,
    ) -> bool:
        """Makes a running job ready again; `only_lost`: when its lease is over."""
        job = claim.job
        words: list[Word] = [keys.member(job.tenant, job.id), job.id, claim.token]
        words += [to_ms(job.created_at), reason, json.dumps(list(strikes)) if strikes else ""]
        words += [0 if count_attempt else -1, "1" if only_lost else ""]
        held = bool(self._connection.run("requeue", keys.live(job), words))
        if held:
            self._tally.requeued.labels(job.model).inc()
            _note("job.requeued", job, attempt=claim.attempt, reason=reason)
        return held

    def finish(
        self, claim: Claim, state: JobState, result: ResultReference, succeeded: int, failed: int
    ) -> bool:
        """Ends a running job with a result."""
        reason = "" if succeeded else "No image succeeded; the result says why."
        words = (claim.token, result.model_dump_json(), succeeded, failed)
        return self._end("finish", claim.job, state, reason, words)

    def cancel(self, job: JobRecord) -> bool:
        """Ends a job at its caller's wish; False when it had ended."""
        return self._end("cancel", job, JobState.CANCELLED, "Cancelled.")

    def expire(self, job: JobRecord) -> bool:
        """Ends a job that was not started in time."""
        return self._end("expire", job, JobState.EXPIRED, "It was not started in time.")

    def bury(self, claim: Claim, *, reason: str, only_lost: bool = False) -> bool:
        """Ends a running job whose attempts ran out; `only_lost`: when its lease is over."""
        why = f"Gave up after {claim.attempt} attempts; the last: {reason}"
        words = (claim.token, "1" if only_lost else "")
        return self._end("bury", claim.job, JobState.DEAD, why, words)

    def replay(self, job: JobRecord) -> bool:
        """Makes a dead job ready again, as if it had never been tried."""
        record_key, ready_key, _, _, queued, _ = keys.live(job)
        names = [record_key, ready_key, queued, keys.listed(job.tenant, JobState.DEAD), keys.ENDED]
        names.append(keys.record_bytes(job.tenant))
        words: list[Word] = [keys.member(job.tenant, job.id), job.id, to_ms(job.created_at)]
        replayed = bool(self._connection.run("replay", names, words))
        if replayed:
            _note("job.replayed", job)
        return replayed

    def _end(
        self, script: str, job: JobRecord, state: JobState, reason: str, words: Sequence[Word] = ()
    ) -> bool:
        endpoints = self._endpoints.callbacks(job.tenant) if job.delivery.endpoint else {}
        outbox = plan_deliveries(job, state, endpoints, utc_now())
        names = [*keys.live(job), keys.listed(job.tenant, state), keys.ENDED]
        names += [keys.deliveries(job.tenant, job.id), keys.RECEIVERS, keys.RECEIVER_LEASES]
        names += [keys.ERASURES, keys.drained(job.model), keys.drained_by(job.tenant)]
        names.append(keys.record_bytes(job.tenant))
        names += outbox_keys(outbox)
        known = [keys.member(job.tenant, job.id), job.id, state, reason, keys.FINISHED]
        known.append(keys.result_prefix(job.tenant, job.id))
        ended = bool(self._connection.run(script, names, [*known, *words, *outbox_args(outbox)]))
        if ended:
            self._tally.ended.labels(job.model, state).inc()
            _note(f"job.{state}", job, reason=reason)
        return ended


def _note(event: str, job: JobRecord, **facts: object) -> None:
    _log.info(event, job=job.id, tenant=job.tenant, model=job.model, **facts)
