"""Reading jobs: one, pages of a tenant's, and how many wait for each model."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from itertools import islice

from boxyard_schemas import JobState, Priority
from boxyard_schemas.errors import InvalidRequest, UnknownJob, Unreadable

from . import keys
from .connection import Connection
from .finished import FinishedFeed
from .indexes import read_page
from .quarantine import Aside, Quarantine
from .records import JobOverview, JobStatus
from .status import OVERVIEW, read_overview, read_status

_CURSOR = re.compile(r"job_[0-9a-f]{32}")
_AT_ONCE = 500
"""Commands in one exchange with Redis."""
_OPEN = frozenset({JobState.QUEUED, JobState.RUNNING})


class JobReader:
    """Reads the jobs of all tenants. Every method raises `Unavailable` when Redis is."""

    def __init__(self, connection: Connection, quarantine: Quarantine) -> None:
        self._connection, self._quarantine = connection, quarantine

    def get(self, tenant: str, job_id: str) -> JobStatus:
        """How a job stands.

        Raises:
            UnknownJob: this tenant has no such job.
            Unreadable: its record cannot be read.
        """
        status = self._look(tenant, job_id)
        if status is None:
            raise UnknownJob(f"No job has the id {job_id}; its retention may be over.")
        return status

    def _look(self, tenant: str, job_id: str) -> JobStatus | None:
        name = keys.job(tenant, job_id)
        fields = self._connection.command("HGETALL", name)
        try:
            return read_status(keys.member(tenant, job_id), fields) if fields else None
        except Unreadable as error:
            self._quarantine.note(name, error.data["cause"])
            raise

    def ready(self, model: str) -> int:
        """How many jobs wait for a model."""
        names = [keys.ready(model, priority) for priority in Priority]
        return sum(self._connection.commands(*(("ZCARD", name) for name in names)))

    def waiting(self) -> dict[str, int]:
        """How many jobs wait, by model; a model that never had one is left out."""
        models = self.models()
        names = [keys.ready(model, priority) for model in models for priority in Priority]
        counts = iter(self._connection.commands(*(("ZCARD", name) for name in names)))
        return {model: sum(islice(counts, len(Priority))) for model in models}

    def ended(self, jobs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
        """Those of the jobs, by tenant and id, that have ended or are no longer kept."""
        found: list[tuple[str, str]] = []
        for start in range(0, len(jobs), _AT_ONCE):
            asked = jobs[start : start + _AT_ONCE]
            states = self._connection.commands(
                *(("HGET", keys.job(*each), "state") for each in asked)
            )
            found += [each for each, state in zip(asked, states, strict=True) if state not in _OPEN]
        return found

    def models(self) -> list[str]:
        """The models that ever had a job, by name."""
        names = self._connection.command("SMEMBERS", keys.MODELS)
        return self._quarantine.keep_names(keys.MODELS, names, keys.MODEL_NAME)

    def subscribe(self) -> FinishedFeed:
        """News of the jobs that end from now on."""
        return FinishedFeed(self._connection)

    def list(
        self,
        tenant: str,
        *,
        state: JobState | None = None,
        limit: int = 50,
        cursor: str | None = None,
    ) -> tuple[list[JobOverview], str | None]:
        """A page of a tenant's jobs, newest first, and the cursor of the next one.

        Raises:
            InvalidRequest: the cursor is not one that a page gave.
        """
        if cursor is not None and not _CURSOR.fullmatch(cursor):
            raise InvalidRequest("The cursor is not one that a page gave.")
        index = keys.listed(tenant, state)
        page, more = read_page(
            self._connection, self._quarantine, index, limit, cursor, names=_CURSOR
        )
        jobs = list[JobOverview]()
        missing = list[Aside]()
        for name, overview in zip(page, self._read_overviews(tenant, page), strict=True):
            try:
                # One that differs from what was accepted is read whole, which says why.
                if job := overview or self._look(tenant, name):
                    jobs.append(job)
                else:
                    missing.append(Aside(name, "missing", keys.job(tenant, name)))
            except Unreadable:
                continue  # it was noted
        self._quarantine.set_aside(index, missing)
        return jobs, page[-1] if more else None

    def _read_overviews(self, tenant: str, names: Sequence[str]) -> Iterator[JobOverview | None]:
        """The jobs without their images, in order; None for one that cannot be read so."""
        if not names:
            return
        hashes = [keys.job(tenant, name) for name in names]
        rows = json.loads(self._connection.run("read_overviews", hashes, OVERVIEW))
        for name, (*values, record_bytes) in zip(names, rows, strict=True):
            try:
                yield read_overview(keys.member(tenant, name), values, record_bytes)
            except Unreadable:
                yield None
