"""From a job's hash in Redis to its status, and the moments between."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Literal

from boxyard_schemas import JobState
from boxyard_schemas.errors import Unreadable

from . import keys
from .records import Claim, JobHead, JobOverview, JobRecord, JobStatus, ResultReference

_COUNT = re.compile(r"0|[1-9][0-9]{0,14}")


def to_ms(moment: datetime) -> int:
    """Milliseconds since 1970."""
    return int(moment.timestamp() * 1000)


def from_ms(milliseconds: str | float) -> datetime:
    """A moment in UTC."""
    return datetime.fromtimestamp(float(milliseconds) / 1000, UTC)


@contextmanager
def readable(what: str, text: object = None) -> Iterator[None]:
    """Around whatever is made of what Redis holds.

    Args:
        what: names the record to people.
        text: the record as it is stored, which may say that a newer version wrote it.

    Raises:
        Unreadable: it cannot be made.
    """
    try:
        yield
    except (
        ValueError,
        KeyError,
        TypeError,
        AttributeError,
        OverflowError,
        OSError,  # a time that no clock holds
        RecursionError,
    ) as error:
        cause = _cause(text)
        written = (
            "the record is damaged"
            if cause == "unreadable"
            else f"it was written by a newer version of the service ({cause})"
        )
        raise Unreadable(
            f"{what} cannot be read: {written}. The operator finds it by `boxyard quarantine`.",
            cause=cause,
        ) from error


def _cause(text: object) -> str:
    try:
        version = json.loads(text)["version"] if isinstance(text, str) else None
    except (ValueError, KeyError, TypeError, RecursionError):
        version = None
    newer = isinstance(version, int) and version > 1
    return f"version-{version}" if newer else "unreadable"


def read_job(text: str, entry: str) -> JobRecord:
    """The job of an index's entry `tenant/job`.

    Raises:
        ValueError: it is no record, or that of another job.
    """
    job = JobRecord.model_validate_json(text)
    if keys.member(job.tenant, job.id) != entry:
        raise ValueError("the record of another job")
    return job


def read_count(text: str | int) -> int:
    """A count as Redis writes it: scripts compare the text, and `007` is not the token `7`.

    Raises:
        ValueError: it is none.
    """
    if not _COUNT.fullmatch(str(text)):
        raise ValueError("no count")
    return int(text)


def read_strikes(text: str | None, images: int) -> tuple[int, ...]:
    """Strikes per image; none were counted when nothing was written."""
    strikes = tuple(json.loads(text)) if text else (0,) * images
    if len(strikes) != images:
        raise ValueError("strikes of other images")
    return strikes


def read_claim(entry: str, fields: Mapping[str, str]) -> Claim:
    """The latest claim of a job `tenant/job` from the fields of its hash.

    Raises:
        Unreadable: they cannot be read.
    """
    with readable(f"Job {keys.split(entry)[1]}", fields.get("record")):
        return _read_claim(entry, fields)


def _read_claim(entry: str, fields: Mapping[str, str]) -> Claim:
    job = read_job(fields["record"], entry)
    return Claim(
        job=job,
        token=read_count(fields["token"]),
        attempt=read_count(fields["attempts"]),
        strikes=read_strikes(fields.get("strikes"), len(job.images)),
    )


def read_status(entry: str, fields: Mapping[str, str]) -> JobStatus:
    """The status of a job `tenant/job` from the fields of its hash.

    Raises:
        Unreadable: they cannot be read.
    """
    with readable(f"Job {keys.split(entry)[1]}", fields.get("record")):
        return _read_status(entry, fields)


OVERVIEW = (
    *("head", "state", "attempts", "strikes", "started_at", "finished_at", "succeeded", "failed"),
    *("reason", "result", "idempotency"),
)
"""The fields of a job's hash that `read_overview` reads."""


def read_overview(
    entry: str, values: Sequence[str | Literal[False]], record_bytes: int
) -> JobOverview:
    """The overview of a job `tenant/job`.

    Args:
        entry: names the job.
        values: of the fields `OVERVIEW` of its hash; False for one that is not there.
        record_bytes: the length of its record, which is not read.

    Raises:
        Unreadable: they cannot be read, or the record is not the one that was accepted.
    """
    fields = {
        name: value for name, value in zip(OVERVIEW, values, strict=True) if value is not False
    }
    with readable(f"Job {keys.split(entry)[1]}", fields.get("head")):
        head = JobHead.model_validate_json(fields["head"])
        if keys.member(head.tenant, head.id) != entry or head.record_bytes != record_bytes:
            raise ValueError("the head of another record")
        return JobOverview(job=head, **_read_standing(fields, head.image_count))


def _read_status(entry: str, fields: Mapping[str, str]) -> JobStatus:
    job = read_job(fields["record"], entry)
    return JobStatus(job=job, **_read_standing(fields, job.image_count))


def _read_standing(fields: Mapping[str, str], images: int) -> dict[str, Any]:
    started, finished, result = (
        fields.get(name) for name in ("started_at", "finished_at", "result")
    )
    return {
        "state": JobState(fields["state"]),
        "attempts": read_count(fields["attempts"]),
        "strikes": read_strikes(fields.get("strikes"), images),
        "started_at": from_ms(started) if started else None,
        "finished_at": from_ms(finished) if finished else None,
        "succeeded": read_count(fields.get("succeeded", "0")),
        "failed": read_count(fields.get("failed", "0")),
        "reason": fields.get("reason") or None,
        "result": ResultReference.model_validate_json(result) if result else None,
        "idempotency": fields.get("idempotency"),
    }
