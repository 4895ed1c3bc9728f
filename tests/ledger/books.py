"""The books of a small model: which jobs and uploads stand, and which keys stand for which job."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
import redis
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from boxyard_ledger import (
    Idempotency,
    JobRecord,
    Ledger,
    LedgerSettings,
    upload_key,
)
from boxyard_schemas import (
    Callback,
    Delivery,
    JobState,
    Priority,
    UploadImage,
    UrlImage,
    new_id,
)
from boxyard_schemas.errors import IdempotencyConflict, UnknownUpload
from boxyard_schemas.words import utc_now

from .conftest import MODEL

MAX_ATTEMPTS = 2
KEYS = ("", "", "", "one", "two")


@dataclass
class Expected:
    """What the model believes of one job."""

    job: JobRecord
    state: JobState = JobState.QUEUED
    attempts: int = 0
    token: int | None = None
    result: str | None = None
    ended: list[JobState] = field(default_factory=list)

    def end(self, state: JobState) -> None:
        self.state, self.token = state, None
        self.ended.append(state)


class Books(RuleBasedStateMachine):
    """What callers do, in any order: submit, upload, erase; and what time does."""

    url: str

    @initialize()
    def open(self) -> None:
        self.raw = redis.Redis.from_url(self.url, decode_responses=True)
        self.raw.flushall()
        self.folder = TemporaryDirectory()
        blob_url = Path(self.folder.name).as_uri()
        self.ledger = Ledger.open(
            LedgerSettings(
                redis_url=self.url,
                redis_timeout_s=30,
                blob_url=blob_url,
                max_attempts=MAX_ATTEMPTS,
            )
        )
        self.jobs: dict[str, Expected] = {}
        self.uploads: dict[str, set[str]] = {}
        self.keys: dict[str, tuple[str, str]] = {}
        self.feed = self.ledger.jobs.subscribe()

    def teardown(self) -> None:
        if not hasattr(self, "ledger"):
            return
        try:
            self.let_an_hour_pass()
        finally:
            self.feed.close()
            self.ledger.close()
            self.raw.close()
            self.folder.cleanup()

    def forget(self, job_id: str) -> None:
        del self.jobs[job_id]
        self.keys = {key: known for key, known in self.keys.items() if known[1] != job_id}
        for upload, referents in list(self.uploads.items()):
            if referents == {job_id}:
                del self.uploads[upload]
            referents.discard(job_id)

    @rule()
    def upload(self) -> None:
        self.uploads[self.ledger.uploads.store("acme", b"pixels").id] = set()

    @precondition(lambda self: self.uploads)
    @rule(data=st.data(), swept=st.booleans())
    def drop_an_upload(self, data: st.DataObject, swept: bool) -> None:
        upload = data.draw(st.sampled_from(sorted(self.uploads)))
        loose = not self.uploads[upload]
        if swept:
            self.raw.zadd("boxyard:loose-uploads", {f"acme/{upload}": 1}, xx=True)
            assert self.ledger.sweeps.sweep_records().loose == loose
        else:
            assert self.ledger.uploads.discard("acme", upload) == loose
        if loose:
            del self.uploads[upload]

    @rule(
        data=st.data(),
        priority=st.sampled_from(Priority),
        images=st.integers(1, 3),
        unknown=st.sampled_from([False, False, False, True]),
    )
    def accept(self, data: st.DataObject, priority: Priority, images: int, unknown: bool) -> None:
        uploads = data.draw(st.lists(st.sampled_from(sorted(self.uploads) or [""]), max_size=2))
        names = [name for name in uploads if name] + [new_id("upl")] * unknown
        job = JobRecord(
            id=new_id("job"),
            tenant="acme",
            model=MODEL,
            images=(
                *(UrlImage(url="https://pictures.example/a.jpg"),) * images,
                *(UploadImage(upload=name) for name in names),
            ),
            priority=priority,
            created_at=utc_now(),
            delivery=Delivery(callback=Callback(url="https://receiver.example/")),
        )
        key = data.draw(st.sampled_from(KEYS))
        fingerprint = data.draw(st.sampled_from("ab"))
        idempotency = Idempotency(key, fingerprint) if key else None
        former, standing = self.keys.get(key, ("", ""))
        if former not in ("", fingerprint):
            with pytest.raises(IdempotencyConflict):
                self.ledger.jobs.accept(job, idempotency=idempotency)
        elif former:
            status, created = self.ledger.jobs.accept(job, idempotency=idempotency)
            assert (status.job.id, created) == (standing, False)
        elif unknown:
            with pytest.raises(UnknownUpload):
                self.ledger.jobs.accept(job, idempotency=idempotency)
        else:
            assert self.ledger.jobs.accept(job, idempotency=idempotency)[1]
            self.jobs[job.id] = Expected(job)
            for name in names:
                self.uploads[name].add(job.id)
            if key:
                self.keys[key] = (fingerprint, job.id)

    @precondition(lambda self: self.jobs)
    @rule(data=st.data(), early=st.booleans())
    def remove(self, data: st.DataObject, early: bool) -> None:
        """A job is erased, or its retention is over."""
        known = self.jobs[data.draw(st.sampled_from(sorted(self.jobs)))]
        if early:
            self.ledger.jobs.erase("acme", known.job.id)
        else:
            self.raw.zadd("boxyard:ended", {f"acme/{known.job.id}": 1}, xx=True)
            assert self.ledger.sweeps.sweep_records().forgotten == known.state.terminal
        if early or known.state.terminal:
            self.forget(known.job.id)

    @rule()
    def let_an_hour_pass(self) -> None:
        """All erasures are carried out; then nothing is stored that nobody can ask for."""
        for entry in self.raw.zrange("boxyard:erasures", 0, -1):
            self.raw.zadd("boxyard:erasures", {entry: 1})
        self.ledger.sweeps.erase_blobs()
        assert self.raw.exists("boxyard:erasures") == 0
        for key in self.ledger.blobs.keys("acme/results/"):
            known = self.jobs[key.split("/")[2]]
            assert not known.state.terminal or known.result == key
        uploads = {upload_key("acme", upload) for upload in self.uploads}
        assert set(self.ledger.blobs.keys("acme/uploads/")) == uploads

    @invariant()
    def what_stands_can_be_read(self) -> None:
        for known in self.jobs.values():
            assert known.result is None or self.ledger.blobs.get(known.result) == b"{}"
        for upload in self.uploads:
            assert self.ledger.blobs.get(upload_key("acme", upload)) == b"pixels"

    @invariant()
    def the_books_agree_with_the_uploads(self) -> None:
        assert set(self.raw.hkeys("boxyard:acme:uploads")) == set(self.uploads)
        assert int(self.raw.get("boxyard:acme:stored-bytes") or 0) == 6 * len(self.uploads)
        loose = {f"acme/{upload}" for upload, jobs in self.uploads.items() if not jobs}
        assert set(self.raw.zrange("boxyard:loose-uploads", 0, -1)) == loose
        for upload, jobs in self.uploads.items():
            assert self.raw.smembers(f"boxyard:acme:upload:{upload}:jobs") == jobs

    @invariant()
    def keys_stand_for_their_jobs(self) -> None:
        for key, (fingerprint, job_id) in self.keys.items():
            found = self.ledger.jobs.find("acme", Idempotency(key, fingerprint))
            assert found
            assert found.job.id == job_id
        assert len(self.raw.keys("boxyard:acme:idempotency:*")) == len(self.keys)
