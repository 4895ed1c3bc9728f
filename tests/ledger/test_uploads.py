"""Uploads: on their tenant's books before they are stored, gone with the last job of theirs."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import redis

from boxyard_ledger import BlobMissing, Ledger, upload_key
from boxyard_schemas import JobState, UploadImage, new_id
from boxyard_schemas.errors import TooManyRequests, Unavailable, UnknownUpload

BOOKS = ("boxyard:acme:uploads", "boxyard:acme:stored-bytes", "boxyard:loose-uploads")


@pytest.fixture
def upload(ledger: Ledger) -> UploadImage:
    return UploadImage(upload=ledger.uploads.store("acme", b"pixels").id)


@pytest.fixture
def age_uploads(raw: redis.Redis) -> Callable[[Ledger], None]:
    """Makes every loose upload older than it may become."""

    def make(ledger: Ledger) -> None:
        for member in raw.zrange("boxyard:loose-uploads", 0, -1):
            raw.zincrby("boxyard:loose-uploads", -1000 * ledger.settings.upload_ttl_s - 1, member)

    return make


def stored(ledger: Ledger) -> set[str]:
    return set(ledger.blobs.keys("acme/uploads/"))


def test_an_upload_is_stored_and_described(ledger: Ledger, raw: redis.Redis):
    upload = ledger.uploads.store("acme", b"pixels")
    assert (upload.bytes, upload.sha256) == (6, hashlib.sha256(b"pixels").hexdigest())
    assert ledger.blobs.get(upload_key("acme", upload.id)) == b"pixels"
    assert raw.get("boxyard:acme:stored-bytes") == "6"


def test_a_job_with_an_upload_of_nobody_is_refused(
    ledger: Ledger, make_job: Callable, raw: redis.Redis
):
    job = make_job(images=(UploadImage(upload=new_id("upl")),))
    with pytest.raises(UnknownUpload) as caught:
        ledger.jobs.accept(job)
    assert caught.value.data == {"upload": job.images[0].upload}
    assert raw.keys("boxyard:*") == []


def test_a_job_with_another_tenant_s_upload_is_refused(
    ledger: Ledger, make_job: Callable, upload: UploadImage
):
    with pytest.raises(UnknownUpload):
        ledger.jobs.accept(make_job(tenant="other", images=(upload,)))
    assert ledger.jobs.accept(make_job(images=(upload,)))[1]


def test_an_upload_that_no_job_names_goes_when_its_time_is_up(
    ledger: Ledger, upload: UploadImage, age_uploads: Callable, raw: redis.Redis
):
    assert ledger.sweeps.sweep().loose == 0
    age_uploads(ledger)
    swept = ledger.sweeps.sweep()
    assert (swept.loose, swept.erased) == (1, 1)
    assert stored(ledger) == set()
    assert raw.exists(*BOOKS) == 0


def test_an_upload_that_a_job_names_stays_however_old_it_is(
    ledger: Ledger, make_job: Callable, upload: UploadImage, age_uploads: Callable
):
    ledger.jobs.accept(make_job(images=(upload,)))
    age_uploads(ledger)
    assert ledger.sweeps.sweep().loose == 0
    assert not ledger.uploads.discard("acme", upload.upload)
    assert stored(ledger) == {upload_key("acme", upload.upload)}


def test_what_no_job_needs_can_be_discarded_at_once(
    ledger: Ledger, upload: UploadImage, raw: redis.Redis
):
    assert not ledger.uploads.discard("other", upload.upload)
    assert ledger.uploads.discard("acme", upload.upload)
    assert not ledger.uploads.discard("acme", upload.upload)
    assert stored(ledger) == set()
    assert raw.exists(*BOOKS) == 0


@pytest.mark.parametrize("round_", range(5))
def test_a_job_that_comes_while_its_upload_is_swept_is_refused_or_keeps_it(
    *, ledger: Ledger, make_job: Callable, age_uploads: Callable, raw: redis.Redis, round_: int
):
    uploads = [UploadImage(upload=ledger.uploads.store("acme", b"x").id) for _ in range(30)]
    jobs = [make_job(images=(upload,)) for upload in uploads]
    age_uploads(ledger)
    start = threading.Barrier(2)

    def submit() -> set[str]:
        start.wait()
        return {job.images[0].upload for job in jobs if accepted(ledger, job)}

    def sweep() -> None:
        start.wait()
        ledger.sweeps.sweep()

    with ThreadPoolExecutor(2) as pool:
        submitted, swept = pool.submit(submit), pool.submit(sweep)
        kept = submitted.result()
        swept.result()
    assert stored(ledger) == {upload_key("acme", upload) for upload in kept}
    assert set(raw.hkeys("boxyard:acme:uploads")) == kept
    assert int(raw.get("boxyard:acme:stored-bytes") or 0) == len(kept)


def accepted(ledger: Ledger, job: object) -> bool:
    try:
        ledger.jobs.accept(job)
    except UnknownUpload:
        return False
    return True


def test_an_upload_whose_blob_could_not_be_stored_is_off_the_books(
    ledger: Ledger, raw: redis.Redis, tmp_path: Path
):
    (tmp_path / "blobs").write_bytes(b"a file where the store should be")
    with pytest.raises(Unavailable):
        ledger.uploads.store("acme", b"pixels")
    assert raw.exists(*BOOKS) == 0


def test_an_upload_whose_server_died_before_it_was_stored_is_swept(
    ledger: Ledger, raw: redis.Redis, age_uploads: Callable
):
    """The line in the books comes first, so a crash leaves a line, never a blob without one."""
    lost = ledger.uploads.store("acme", b"pixels")
    ledger.blobs.delete(upload_key("acme", lost.id))
    age_uploads(ledger)
    assert ledger.sweeps.sweep().loose == 1
    assert raw.exists(*BOOKS) == 0


def test_a_tenant_s_uploads_have_room_up_to_its_quota(ledger: Ledger, raw: redis.Redis):
    raw.hset("boxyard:acme:tenant", "stored_bytes", 10)
    first = ledger.uploads.store("acme", b"123456")
    with pytest.raises(TooManyRequests) as caught:
        ledger.uploads.store("acme", b"12345")
    assert caught.value.data == {"retry_after_s": 60, "limit": "stored-bytes"}
    ledger.uploads.store("acme", b"1234")
    ledger.uploads.store("other", b"12345678901")
    ledger.uploads.discard("acme", first.id)
    ledger.uploads.store("acme", b"12345")
    assert raw.get("boxyard:acme:stored-bytes") == "9"


def test_room_comes_back_with_the_jobs(ledger: Ledger, make_job: Callable, raw: redis.Redis):
    raw.hset("boxyard:acme:tenant", "stored_bytes", 6)
    upload = UploadImage(upload=ledger.uploads.store("acme", b"pixels").id)
    job = make_job(images=(upload, upload))
    ledger.jobs.accept(job)
    with pytest.raises(TooManyRequests):
        ledger.uploads.store("acme", b"more")
    ledger.jobs.erase("acme", job.id)
    assert ledger.uploads.store("acme", b"more").bytes == 4


def test_missing_blobs_are_no_reason_to_refuse_a_job(
    ledger: Ledger, make_job: Callable, upload: UploadImage
):
    """The books are the truth; a lost blob shows as that picture's failure."""
    ledger.blobs.delete(upload_key("acme", upload.upload))
    status, _ = ledger.jobs.accept(make_job(images=(upload,)))
    assert status.state is JobState.QUEUED
    with pytest.raises(BlobMissing):
        ledger.blobs.get(upload_key("acme", upload.upload))
