"""A ledger with a tenant, jobs that end, and a deliver loop that runs in the test."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest

from beside import beside
from boxyard_ledger import (
    DeliveryState,
    DeliveryStatus,
    JobRecord,
    Ledger,
    LedgerSettings,
    result_key,
)
from boxyard_schemas import Box, Detection, ImageInfo, ImageSuccess, JobResult, Provenance, new_id
from boxyard_schemas.images import UrlImage
from boxyard_schemas.jobs import Delivery
from boxyard_schemas.words import utc_now
from boxyard_worker.deliver import Deliverer, DeliverSettings
from boxyard_worker.deliver.loop import make_courier
from boxyard_worker.egress import Egress

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MODEL = "rtmdet-ins_demo"
ENDED = (DeliveryState.DELIVERED, DeliveryState.EXHAUSTED)


@dataclass
class Yard:
    """Jobs end in it, and their deliveries are looked at."""

    ledger: Ledger
    settings: DeliverSettings

    def queue_job(self, *, tenant: str = "acme", **delivery: object) -> str:
        """A job that waits; its id."""
        job = JobRecord(
            id=new_id("job"),
            tenant=tenant,
            model=MODEL,
            images=(UrlImage(url="https://example.org/a.jpg"),),
            delivery=Delivery.model_validate(delivery),
            created_at=utc_now(),
            metadata={"order": "7"},
        )
        self.ledger.jobs.accept(job)
        return job.id

    def cancel_job(self, *, tenant: str = "acme", **delivery: object) -> str:
        """A job that its caller cancelled; its id."""
        job = self.queue_job(tenant=tenant, **delivery)
        self.ledger.jobs.cancel(tenant, job)
        return job

    def end_job(self, *, boxes: int = 2, succeeded: bool = True, **delivery: object) -> str:
        """A job that ran; its id."""
        job = self.queue_job(**delivery)
        (claim,) = self.ledger.jobs.claim(MODEL, worker="test", max_images=1)
        body = result_of(job, boxes).model_dump_json(exclude_none=True).encode()
        stored = self.ledger.blobs.put(result_key("acme", job, claim.token), body, once=True)
        assert self.ledger.jobs.finish(
            claim, stored, succeeded=int(succeeded), failed=int(not succeeded)
        )
        return job

    def result(self, job: str) -> bytes:
        reference = self.ledger.jobs.get("acme", job).result
        assert reference
        return self.ledger.blobs.get(reference.key)

    def delivery(self, job: str) -> DeliveryStatus:
        (status,) = self.ledger.deliveries.list("acme", job)
        return status

    def ended(self, job: str, seconds: float = 60) -> DeliveryStatus:
        """The job's one delivery, once it is delivered or exhausted."""
        return self.until(job, lambda status: status.state in ENDED, seconds)

    def until(
        self, job: str, so: Callable[[DeliveryStatus], bool], seconds: float = 60
    ) -> DeliveryStatus:
        end = time.monotonic() + seconds
        while not so(status := self.delivery(job)) and time.monotonic() < end:
            time.sleep(0.02)
        assert so(status), status
        return status

    @contextmanager
    def delivering(self, **changes: object) -> Iterator[None]:
        """Runs a deliver loop beside the test."""
        settings = self.settings.model_copy(update=changes)
        with Egress(settings) as egress:
            courier = make_courier(settings, self.ledger, egress)
            with beside(Deliverer(self.ledger, courier, settings).run):
                yield


def result_of(job: str, boxes: int) -> JobResult:
    found = Detection(
        box=Box(topX=0.1, topY=0.1, bottomX=0.5, bottomY=0.5), label="can", label_id=1, score=0.9
    )
    image = ImageSuccess(
        boxes=(found,) * boxes, image=ImageInfo(width=640, height=480, sha256="0" * 64)
    )
    provenance = Provenance(
        model=MODEL,
        weights_sha256="",
        config_sha256="",
        device="cpu",
        precision="float32",
        versions={},
    )
    return JobResult(job=job, images=(image,), provenance=provenance)


@pytest.fixture
def deliver_settings(ledger_settings: LedgerSettings) -> DeliverSettings:
    return DeliverSettings(
        redis_url=ledger_settings.redis_url,
        blob_url=ledger_settings.blob_url,
        allowed_networks=("127.0.0.0/8",),
        allowed_ports=frozenset(),
        public_url="https://yard.test",
        delivery_schedule_s=(0.1, 0.1),
        delivery_jitter=0,
        delivery_poll_s=0.02,
    )


@pytest.fixture
def yard(ledger: Ledger, deliver_settings: DeliverSettings) -> Yard:
    ledger.tenants.register("acme", api_key="key", webhook_secret=SECRET)
    return Yard(ledger, deliver_settings)
