"""What an operator does with the quarantine: list it, and delete what is in it."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Any, NamedTuple

from boxyard_schemas import JobState, Priority
from boxyard_schemas.errors import Unreadable

from . import keys
from .api_keys import KeyRecord
from .connection import Connection, Word
from .delivery_status import read_record
from .endpoints import EndpointRecord
from .quarantine import Quarantine, Quarantined
from .records import Record, WorkerRecord
from .retention import Retention
from .sealing import KeptSecret
from .status import read_status
from .tenants import Quota
from .webhook_secrets import SecretsRecord

_PAGE = 500
_TENANT, _JOB = f"({keys.TENANT_NAME.pattern})", r"(job_[0-9a-f]{32})"
_MEMBER = re.compile(f"{_TENANT}/{_JOB}")
_LISTED = re.compile(f"boxyard:{_TENANT}:jobs(?::[a-z]+)?")
_JOB_KEY = re.compile(f"boxyard:{_TENANT}:job:{_JOB}")
_DELIVERY_KEY = re.compile(f"boxyard:{_TENANT}:delivery:(dlv_[0-9a-f]{{32}})")
_READY = keys.ready("", Priority.NORMAL).removesuffix(f":{Priority.NORMAL}")
_JOB_INDEXES = (keys.LEASES, keys.EXPIRIES, keys.ENDED)
_UPLOAD = re.compile(r'"upload"\s*:\s*"(upl_[0-9a-f]{32})"')
_HASHES: Mapping[str, type[Record]] = {"endpoints": EndpointRecord, "api-keys": KeyRecord}
_FIELDS: Mapping[str, type[Record]] = {
    "webhook_secrets": SecretsRecord,
    "bootstrap_secret": KeptSecret,
}
"""Records in the hashes and fields of these names."""


class _Look(NamedTuple):
    """How to read a place again: a command, and what refuses an answer that cannot be read."""

    command: tuple[Word, ...]
    check: Callable[[Any], object]


class QuarantineReview:
    """For an operator; the processes of a stack only fill the quarantine."""

    def __init__(
        self, connection: Connection, quarantine: Quarantine, retention: Retention
    ) -> None:
        self._connection, self._quarantine, self._retention = connection, quarantine, retention

    def all(self) -> list[Quarantined]:
        """Every place, the newest last; records that were repaired in place are taken off first."""
        found = self._quarantine.all()
        in_place = [entry.place for entry in found if not entry.source]
        repaired = set(self._find_repaired(in_place))
        self._quarantine.unlist(repaired)
        return [entry for entry in found if entry.place not in repaired]

    def _find_repaired(self, places: list[str]) -> Iterator[str]:
        looks = [(place, look) for place in places if (look := _look_at(place))]
        for start in range(0, len(looks), _PAGE):
            page = looks[start : start + _PAGE]
            answers = self._connection.commands(*(look.command for _, look in page))
            for (place, look), answer in zip(page, answers, strict=True):
                # What is no longer there needs no repair.
                with suppress(Unreadable, ValueError):
                    if answer:
                        look.check(answer)
                    yield place

    def delete(self, entry: Quarantined) -> bool:
        """Deletes what an entry is about; False when the entry is gone.

        A renamed key is deleted. A job that cannot be read, or that no index of its state holds,
        is forgotten with its deliveries, results and uploads, whatever its state. Of anything else
        the entry alone is deleted: it stays out of its index, and a record stays in its place.
        """
        job = _job_of(entry)
        others = self._forget(*job) if job else []
        deleted = self._quarantine.delete(entry)
        self._quarantine.unlist(others)
        return deleted

    def _forget(self, tenant: str, job_id: str) -> list[str]:
        """Forgets a job unless it is well; returns the places where it may be listed."""
        name, entry = keys.job(tenant, job_id), keys.member(tenant, job_id)
        fields = self._connection.command("HGETALL", name)
        ready = _find_ready(fields)
        if self._is_held(entry, fields):
            return []
        listed = [keys.listed(tenant, state) for state in JobState]
        dead, queued, running = (
            keys.listed(tenant, state)
            for state in (JobState.DEAD, JobState.QUEUED, JobState.RUNNING)
        )
        names = [name, keys.LEASES, keys.EXPIRIES, ready or keys.LEASES, keys.ENDED]
        names += [keys.record_bytes(tenant), dead, queued, running]
        names += [each for each in listed if each not in names]
        words = [entry, job_id, fields.get("state", ""), fields.get("token", "")]
        if not self._connection.run("give_up", names, words):
            return []
        self._retention.forget(
            tenant,
            job_id,
            JobState.DEAD,
            uploads=sorted(set(_UPLOAD.findall(fields.get("record", "")))),
            idempotency=fields.get("idempotency", ""),
        )
        indexes = [*_JOB_INDEXES, *([ready] if ready else [])]
        return [name, *(f"{index} {entry}" for index in indexes)]

    def _is_held(self, entry: str, fields: Mapping[str, str]) -> bool:
        """Whether a job can be read and is in the index of its state."""
        try:
            status = read_status(entry, fields)
        except Unreadable:
            return False
        index = keys.ENDED
        if not status.state.terminal:
            index = keys.LEASES
        if status.state is JobState.QUEUED:
            index = keys.ready(status.job.model, status.job.priority)
        return self._connection.command("ZSCORE", index, entry) is not None


def _job_of(entry: Quarantined) -> tuple[str, str] | None:
    """The tenant and the id of the job that an entry is about."""
    found = None
    if entry.source in _JOB_INDEXES or entry.source.startswith(_READY):
        found = _MEMBER.fullmatch(entry.member)
    elif listed := _LISTED.fullmatch(entry.source):
        found = _MEMBER.fullmatch(keys.member(listed[1], entry.member))
    elif not entry.source:
        found = _JOB_KEY.fullmatch(entry.place)
    return (found[1], found[2]) if found else None


def _find_ready(fields: Mapping[str, str]) -> str | None:
    """The ready index of a job, if its record says as much."""
    try:
        facts = json.loads(fields.get("record", ""))
        return keys.ready(str(facts["model"]), Priority(facts["priority"]))
    except (ValueError, KeyError, TypeError, RecursionError):
        return None


def _look_at(place: str) -> _Look | None:
    """How to read a record that stays in its place; None if that is not known."""
    key, _, name = place.partition(" ")
    parse = _parser(key, name)
    if key in (keys.MODELS, keys.SERVED_MODELS, keys.TENANTS):
        return _Look(("SISMEMBER", key, name), _check_absent)
    if not parse:
        return None
    if _JOB_KEY.fullmatch(place):
        return _Look(("HGETALL", place), parse)
    if _DELIVERY_KEY.fullmatch(place):
        return _Look(("HGET", place, "record"), parse)
    return _Look(("HGET", key, name) if name else ("GET", key), parse)


def _parser(key: str, name: str) -> Callable[[Any], object] | None:
    if job := _JOB_KEY.fullmatch(key):
        return lambda fields: read_status(keys.member(job[1], job[2]), fields)
    if delivery := _DELIVERY_KEY.fullmatch(key):
        return lambda text: read_record(text, keys.member(delivery[1], delivery[2]))
    if key.startswith(keys.worker("")):
        return WorkerRecord.model_validate_json
    if name in Quota.model_fields:
        return lambda text: Quota.model_validate({name: text})
    if name == "webhook_secret":  # in the clear
        return str.encode
    kind = _FIELDS.get(name) or _HASHES.get(key.rpartition(":")[2])
    return kind.model_validate_json if kind else None


def _check_absent(is_member: int) -> None:
    if is_member:
        raise ValueError("the name is still there")
