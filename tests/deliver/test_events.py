"""What a callback says, whatever a job is like: under 20 kB, and the same at every attempt."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
import redis
from hypothesis import given, settings
from hypothesis import strategies as st

from boxyard_ledger import EmbeddedRedis, JobRecord, JobStatus, Ledger, LedgerSettings
from boxyard_ledger.blobs.store import BlobStore
from boxyard_schemas import MAX_EVENT_BYTES, Event, EventType, JobState, UrlImage, new_id
from boxyard_schemas.errors import Permanent
from boxyard_schemas.words import utc_now
from boxyard_worker.deliver.event import write_event

from .conftest import result_of

URL = "https://yard.test"
ENDED = st.sampled_from([state for state in JobState if state.terminal])
LETTERS = st.characters(codec="utf-8")
LONG = st.builds(lambda letter, count: letter * count, LETTERS, st.integers(0, 60_000))
METADATA = st.dictionaries(
    st.text(LETTERS, min_size=1, max_size=64) | st.builds(lambda c: c * 64, LETTERS),
    st.text(LETTERS, max_size=512) | st.builds(lambda c: c * 512, LETTERS),
    max_size=16,
)


@pytest.fixture(scope="module")
def blobs(
    tmp_path_factory: pytest.TempPathFactory, embedded_redis: EmbeddedRedis
) -> Iterator[BlobStore]:
    place: Path = tmp_path_factory.mktemp("blobs")
    with redis.Redis.from_url(embedded_redis.url) as client:
        client.flushall()
    known = LedgerSettings(blob_url=place.as_uri(), redis_url=embedded_redis.url)
    with Ledger.open(known) as ledger:
        yield ledger.blobs


def status(state: JobState = JobState.SUCCEEDED, **fields: object) -> JobStatus:
    names = ("metadata", "warnings")
    job = JobRecord(
        id=new_id("job"),
        tenant="acme",
        model="m" * 200,
        images=(UrlImage(url="https://example.org/a.jpg"),) * 64,
        created_at=utc_now(),
        **{name: fields.pop(name) for name in names if name in fields},
    )
    return JobStatus(job=job, state=state, finished_at=utc_now(), **fields)


@settings(max_examples=300, deadline=None)
@given(
    state=ENDED,
    metadata=METADATA,
    warnings=st.lists(LONG, max_size=4).map(tuple),
    reason=st.none() | LONG,
)
def test_an_event_is_always_under_its_limit_and_says_what_was_cut(
    *,
    blobs: BlobStore,
    state: JobState,
    metadata: dict[str, str],
    warnings: tuple[str, ...],
    reason: str | None,
) -> None:
    known = status(state, metadata=metadata, warnings=warnings, reason=reason)
    body = write_event(known, EventType(f"job.{state}"), blobs, URL)
    assert len(body) < MAX_EVENT_BYTES
    assert body == write_event(known, None, blobs, URL)
    told = Event.model_validate_json(body)
    cut, job = told.data.cut or (), known.view()
    for name in ("metadata", "warnings", "reason"):
        assert (getattr(told.data.job, name) == getattr(job, name)) == (name not in cut)
    assert told.data.job.model_copy(update={name: getattr(job, name) for name in cut}) == job


@settings(max_examples=100, deadline=None)
@given(boxes=st.integers(0, 260), filler=st.integers(0, 400))
def test_a_result_is_inline_exactly_while_the_event_stays_under_the_limit(
    blobs: BlobStore, boxes: int, filler: int
) -> None:
    known = status(metadata={"filler": "x" * filler})
    result = result_of(known.job.id, boxes).model_dump_json(exclude_none=True).encode()
    known = known.model_copy(
        update={"result": blobs.put(f"acme/results/{known.job.id}/1.json", result, once=True)}
    )
    body = write_event(known, None, blobs, URL)
    told = Event.model_validate_json(body)
    assert len(body) < MAX_EVENT_BYTES
    assert told.data.cut is None
    if told.data.result is None:
        link = f',"result":{result.decode()}'
        assert len(body) + len(link) >= MAX_EVENT_BYTES
    else:
        assert told.data.result == result_of(known.job.id, boxes)
    assert told.data.result_url == f"{URL}/v1/jobs/{known.job.id}/result"


@pytest.mark.parametrize("state", [JobState.QUEUED, JobState.RUNNING, JobState.SUCCEEDED])
def test_the_end_of_a_job_that_was_replayed_since_is_told_no_more(
    blobs: BlobStore, state: JobState
) -> None:
    with pytest.raises(Permanent) as raised:
        write_event(status(state), EventType.DEAD, blobs, URL)
    assert raised.value.reason == "superseded"


def test_an_events_timestamp_is_the_jobs_end(blobs: BlobStore) -> None:
    known = status()
    told = Event.model_validate_json(write_event(known, None, blobs, URL))
    assert known.finished_at is not None
    assert abs(told.timestamp - known.finished_at) < timedelta(milliseconds=1)
