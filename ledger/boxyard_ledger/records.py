"""What the ledger holds: jobs, claims, results, deliveries, workers."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from boxyard_schemas import (
    Delivery,
    DeliveryId,
    EndpointId,
    EventType,
    ImageCounts,
    Job,
    JobId,
    JobState,
    Parameters,
    Priority,
    StoredImage,
    Tenant,
)
from boxyard_schemas.jobs import ModelName
from boxyard_schemas.words import Timestamp


class Record(BaseModel):
    """Written to Redis; the `version` of what is stored stands in each kind."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class _JobFacts(Record):
    version: Literal[1] = 1
    id: JobId
    tenant: Tenant
    model: str = Field(description="mmdet-3 name, resolved.")
    priority: Priority = Priority.NORMAL
    created_at: Timestamp
    expires_at: Timestamp | None = None
    metadata: dict[str, str] = Field({})
    warnings: tuple[str, ...] = ()


class JobHead(_JobFacts):
    """What a list shows of a job: kept beside the record, whose images may take a megabyte."""

    image_count: int
    record_bytes: int = Field(description="Of the record; another length was not accepted.")


class JobRecord(_JobFacts):
    """What was accepted. It never changes; how the job stands is kept beside it."""

    images: tuple[StoredImage, ...]
    parameters: Parameters = Parameters()
    delivery: Delivery = Delivery()
    traceparent: str | None = Field(None, description="W3C trace context of the request.")

    @property
    def image_count(self) -> int:
        """How many images it has."""
        return len(self.images)

    def head(self, record_bytes: int) -> JobHead:
        """What lists show of it."""
        shared = {name: getattr(self, name) for name in _JobFacts.model_fields}
        return JobHead(**shared, image_count=self.image_count, record_bytes=record_bytes)


class ResultReference(Record):
    """Where a job's result was stored, once."""

    key: str
    sha256: str
    size: int = Field(description="Bytes.")


class JobOverview(Record):
    """A job without its images, and how it stands."""

    job: JobHead | JobRecord
    state: JobState
    attempts: int = 0
    strikes: tuple[int, ...] = Field((), description="Per image: model children that it ended.")
    started_at: Timestamp | None = None
    finished_at: Timestamp | None = None
    succeeded: int = Field(0, description="Images.")
    failed: int = Field(0, description="Images, crashed ones included.")
    reason: str | None = None
    result: ResultReference | None = None
    idempotency: str | None = Field(None, description="Digest of the key it came with.")

    def view(self) -> Job:
        """The job as its tenant sees it."""
        job = self.job
        return Job(
            id=job.id,
            model=job.model,
            state=self.state,
            priority=job.priority,
            images=ImageCounts(total=job.image_count, succeeded=self.succeeded, failed=self.failed),
            attempts=self.attempts,
            created_at=job.created_at,
            started_at=self.started_at,
            finished_at=self.finished_at,
            expires_at=job.expires_at,
            reason=self.reason,
            warnings=job.warnings,
            metadata=job.metadata,
        )


class JobStatus(JobOverview):
    """A job, whole, and how it stands."""

    job: JobRecord


class Claim(Record):
    """A worker's hold on a job until the lease ends.

    `token` fences: the ledger refuses what an older claim says. `strikes` tells which images
    must go through the model alone.
    """

    job: JobRecord
    token: int
    attempt: int
    strikes: tuple[int, ...]


class DeliveryKind(StrEnum):
    """How a delivery is made."""

    CALLBACK = "callback"
    BUCKET = "bucket"


class DeliveryState(StrEnum):
    """`pending → sending → delivered | pending | exhausted`."""

    PENDING = "pending"
    SENDING = "sending"
    DELIVERED = "delivered"
    EXHAUSTED = "exhausted"


class DeliveryRecord(Record):
    """One thing to tell one receiver; made in the same step that ends the job."""

    version: Literal[1] = 1
    id: DeliveryId = Field(description="Stable over attempts: the `webhook-id` of a callback.")
    tenant: Tenant
    job: JobId
    kind: DeliveryKind
    target: str = Field(description="Callback URL, or `s3://bucket/prefix`.")
    endpoint: EndpointId | None = Field(None, description="Whose secret signs; else the tenant's.")
    event: EventType | None = Field(None, description="What it tells; a replayed job ends anew.")
    created_at: Timestamp


class DeliveryClaim(Record):
    """A deliverer's hold on one delivery; `attempt` counts from 1."""

    delivery: DeliveryRecord
    token: int
    attempt: int


class DeliveryAttempt(Record):
    """One line of a delivery's log."""

    at: Timestamp
    outcome: str = Field(description="`delivered`, or a stable reason such as `status-500`.")
    detail: str = ""


class WorkerRecord(Record):
    """What a detect worker's heartbeat says."""

    version: Literal[1] = 1
    id: str
    model: ModelName
    host: str
    device: str
    warm: bool
    classes: tuple[str, ...] = ()
    started_at: Timestamp
