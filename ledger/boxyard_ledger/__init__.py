"""The memory: job records and their state machine, deliveries, blobs, bells.

Records (`boxyard_ledger.records`) and bytes come in; what Redis and the blob store remember goes
out. Here alone does code talk to Redis and S3, and here alone does it ring the Celery bell.
"""

from .admission import Idempotency
from .bells import make_app
from .blobs import BlobMissing, BlobStore, BlobUnreadable
from .delivery_status import DeliveryStatus
from .embedded import EmbeddedRedis
from .exposition import exposed
from .finished import FinishedFeed
from .gauges import StackGauges
from .keys import result_key, upload_key
from .ledger import Ledger
from .outbox import lanes_of, receiver_of
from .quarantine import Quarantined
from .records import (
    Claim,
    DeliveryAttempt,
    DeliveryClaim,
    DeliveryKind,
    DeliveryRecord,
    DeliveryState,
    JobOverview,
    JobRecord,
    JobStatus,
    ResultReference,
    WorkerRecord,
)
from .results import ResultDamaged, read_result
from .s3 import StoreRefuses
from .settings import LedgerSettings

__all__ = [
    "BlobMissing",
    "BlobStore",
    "BlobUnreadable",
    "Claim",
    "DeliveryAttempt",
    "DeliveryClaim",
    "DeliveryKind",
    "DeliveryRecord",
    "DeliveryState",
    "DeliveryStatus",
    "EmbeddedRedis",
    "FinishedFeed",
    "Idempotency",
    "JobOverview",
    "JobRecord",
    "JobStatus",
    "Ledger",
    "LedgerSettings",
    "Quarantined",
    "ResultDamaged",
    "ResultReference",
    "StackGauges",
    "StoreRefuses",
    "WorkerRecord",
    "exposed",
    "lanes_of",
    "make_app",
    "read_result",
    "receiver_of",
    "result_key",
    "upload_key",
]
