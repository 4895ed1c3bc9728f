"""What callback and bucket have in common, and what a bucket gets."""

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from pydantic import SecretStr

from boxyard_ledger import DeliveryState, Ledger
from boxyard_worker.deliver import DeliverSettings

from .conftest import SECRET, Yard
from .places import BucketPlace, CallbackPlace, Place


@pytest.fixture
def bucket() -> Iterator[BucketPlace]:
    place = BucketPlace()
    yield place
    place.stop()


@pytest.fixture(params=["callback", "bucket"])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "bucket":
        yield request.getfixturevalue("bucket")
        return
    callback = CallbackPlace()
    yield callback
    callback.stop()


@pytest.fixture
def yard(deliver_settings: DeliverSettings, request: pytest.FixtureRequest) -> Iterator[Yard]:
    """A yard that may also write to the caller's bucket."""
    changes: dict[str, object] = {"delivery_schedule_s": (0.2,) * 50}
    if "bucket" in request.fixturenames or request.node.callspec.params["place"] == "bucket":
        bucket = request.getfixturevalue("bucket")
        changes |= {
            "s3_endpoint_url": bucket.url,
            "s3_access_key_id": "key",
            "s3_secret_access_key": SecretStr("secret"),
            "allowed_buckets": (bucket.bucket,),
        }
    settings = deliver_settings.model_copy(update=changes)
    with Ledger.open(settings) as ledger:
        ledger.tenants.register("acme", api_key="key", webhook_secret=SECRET)
        yield Yard(ledger, settings)


def test_a_result_arrives_once(yard: Yard, place: Place) -> None:
    with yard.delivering():
        status = yard.ended(yard.end_job(**place.delivery))
    assert (status.state, place.arrived()) == (DeliveryState.DELIVERED, 1)


def test_a_place_that_is_down_gets_it_when_it_is_up(yard: Yard, place: Place) -> None:
    place.stop()
    with yard.delivering():
        job = yard.end_job(**place.delivery)
        yard.until(job, lambda status: len(status.attempts) > 0)
        place.start()
        status = yard.ended(job)
    assert (status.state, place.arrived()) == (DeliveryState.DELIVERED, 1)


def test_a_damaged_result_goes_nowhere(yard: Yard, place: Place) -> None:
    job = yard.end_job(**place.delivery)
    reference = yard.ledger.jobs.get("acme", job).result
    assert reference
    yard.ledger.blobs.put(reference.key, b"{}")
    with yard.delivering():
        status = yard.ended(job)
    assert (status.state, place.arrived()) == (DeliveryState.EXHAUSTED, 0)
    assert status.attempts[0].outcome == "result-damaged"


def test_a_lost_result_goes_nowhere(yard: Yard, place: Place) -> None:
    job = yard.end_job(**place.delivery)
    reference = yard.ledger.jobs.get("acme", job).result
    assert reference
    yard.ledger.blobs.delete(reference.key)
    with yard.delivering():
        status = yard.ended(job)
    assert (status.state, place.arrived()) == (DeliveryState.EXHAUSTED, 0)
    assert status.attempts[0].outcome == "blob-missing"


def test_a_result_that_cannot_be_read_ends_after_the_attempts(yard: Yard, place: Place) -> None:
    job = yard.end_job(**place.delivery)
    reference = yard.ledger.jobs.get("acme", job).result
    assert reference
    stored = Path(urlsplit(yard.settings.blob_url).path, reference.key)
    stored.unlink()
    stored.symlink_to(stored)
    with yard.delivering():
        status = yard.ended(job)
    assert (status.state, place.arrived()) == (DeliveryState.EXHAUSTED, 0)
    assert "cannot be read" in status.attempts[0].detail


def test_the_bucket_gets_the_recorded_bytes_under_the_jobs_name(
    yard: Yard, bucket: BucketPlace
) -> None:
    with yard.delivering():
        job = yard.end_job(**bucket.delivery)
        yard.ended(job)
    assert bucket.object(f"out/{job}.json") == (yard.result(job), "application/json")


def test_a_bucket_that_no_setting_allows_gets_nothing(yard: Yard, bucket: BucketPlace) -> None:
    with yard.delivering():
        status = yard.ended(yard.end_job(s3="s3://somebody-else/out"))
    assert status.state is DeliveryState.EXHAUSTED
    assert status.attempts[0].outcome == "bucket-denied"
