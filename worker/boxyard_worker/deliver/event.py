"""The body of a callback: the same bytes at every attempt."""

from __future__ import annotations

from typing import Any

from boxyard_ledger import BlobStore, JobStatus, ResultReference, read_result
from boxyard_schemas import MAX_EVENT_BYTES, Event, EventData, EventType, JobResult
from boxyard_schemas.errors import Permanent
from boxyard_schemas.words import changed

_REASON_LETTERS = 500


def write_event(
    status: JobStatus, told: EventType | None, blobs: BlobStore, public_url: str
) -> bytes:
    """The event of a job that ended, with its result while that fits into 20 kB.

    Args:
        status: how the job stands.
        told: what is to be told; None when the delivery is too old to say.
        blobs: where the result is.
        public_url: of the server.

    Raises:
        Permanent: `superseded`: the job was replayed since. Or the recorded result is missing or
            damaged.
        Unavailable: the blob store is away.
    """
    event = _event(status, told, public_url)
    if status.result and status.result.size <= MAX_EVENT_BYTES:
        full = _encode(_changed(event, result=_result(blobs, status.result)))
        if len(full) < MAX_EVENT_BYTES:
            return full
    return _encode(_thin(event))


def _event(status: JobStatus, told: EventType | None, public_url: str) -> Event:
    state, job = status.state, status.view()
    if not state.terminal or told not in (None, f"job.{state}"):
        raise Permanent("superseded", f"{job.id} was replayed since; it is {state} now")
    url = f"{public_url.rstrip('/')}/v1/jobs/{job.id}/result" if status.result else None
    return Event(
        type=EventType(f"job.{state}"),
        timestamp=status.finished_at or job.created_at,
        data=EventData(job=job, result_url=url),
    )


def _thin(event: Event) -> Event:
    """The event without the members of its job, the least telling first, that would not fit."""
    job, cut = event.data.job, list[str]()
    reason = (job.reason or "")[:_REASON_LETTERS]
    for name, rest in (("reason", reason), ("warnings", ()), ("metadata", {})):
        if len(_encode(event)) < MAX_EVENT_BYTES:
            break
        if getattr(job, name) not in (None, rest):
            cut.append(name)
            job = changed(job, **{name: rest})
            event = _changed(event, job=job, cut=tuple(cut))
    return event


def _changed(event: Event, **members: Any) -> Event:
    return changed(event, data=changed(event.data, **members))


def _result(blobs: BlobStore, reference: ResultReference) -> JobResult:
    return JobResult.model_validate_json(read_result(blobs, reference))


def _encode(event: Event) -> bytes:
    return event.model_dump_json(exclude_none=True).encode()
