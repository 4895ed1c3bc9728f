"""Names of what the ledger keeps in Redis and in the blob store.

A key that holds a tenant's data carries the tenant; indexes are global and hold `tenant/id`.
"""

from __future__ import annotations

import hashlib
import re

from boxyard_schemas import JobState, Priority

from .records import JobRecord

_ROOT = "boxyard"

FINISHED = f"{_ROOT}:finished"
"""Channel: `tenant/job` of each job that ends."""

LEASES = f"{_ROOT}:leases"
EXPIRIES = f"{_ROOT}:expiries"
ENDED = f"{_ROOT}:ended"
MODELS = f"{_ROOT}:models"
MODEL_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]{0,199}")
"""What may stand in `MODELS` and `SERVED_MODELS`."""
RECEIVERS = f"{_ROOT}:receivers"
RECEIVER_LEASES = f"{_ROOT}:receiver-leases"
TENANTS = f"{_ROOT}:tenants"
TENANT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
"""What may stand in `TENANTS`."""
API_KEYS = f"{_ROOT}:api-keys"
LEDGER = f"{_ROOT}:ledger"
"""The id of this ledger: gone when Redis lost its data."""
BLOB_STORE = f"{_ROOT}:blob-store"
"""The id of the store that holds the blobs; it lies there too."""
WORKERS = f"{_ROOT}:workers"
SERVED_MODELS = f"{_ROOT}:served-models"
LOOSE_UPLOADS = f"{_ROOT}:loose-uploads"
"""Uploads that no job names, by when they came."""
ERASURES = f"{_ROOT}:erasures"
"""Blobs, or what their names begin with, that must go, by when."""


QUARANTINE = f"{_ROOT}:quarantine"
"""What could not be read, by place; keys of a wrong type are renamed to begin with it."""
UNLISTED = f"{QUARANTINE}:unlisted"
"""How often a place was not listed there because the list was full."""


def is_ours(key: str) -> bool:
    """Whether a key is the ledger's, and not the broker's."""
    return key.startswith(f"{_ROOT}:")


def member(tenant: str, name: str) -> str:
    """How an index names a tenant's job or delivery."""
    return f"{tenant}/{name}"


def split(text: str) -> tuple[str, str]:
    """The tenant and the id behind an index's entry."""
    tenant, _, name = text.partition("/")
    return tenant, name


def ready(model: str, priority: Priority) -> str:
    """Jobs that wait for a model, by age."""
    return f"{_ROOT}:ready:{model}:{priority}"


def job(tenant: str, job_id: str) -> str:
    """A job's record and how it stands."""
    return f"{_ROOT}:{tenant}:job:{job_id}"


def listed(tenant: str, state: JobState | None = None) -> str:
    """A tenant's jobs, all or those of one state, by id and so by age."""
    return f"{_ROOT}:{tenant}:jobs" + (f":{state}" if state else "")


def digest(key: str) -> str:
    """A caller's idempotency key as it is kept: a caller's text has no bounds."""
    return hashlib.sha256(key.encode()).hexdigest()


def idempotency(tenant: str, digest: str) -> str:
    """What a caller's idempotency key stands for."""
    return f"{_ROOT}:{tenant}:idempotency:{digest}"


def referents(tenant: str, upload_id: str) -> str:
    """The jobs that name an upload."""
    return f"{_ROOT}:{tenant}:upload:{upload_id}:jobs"


def uploads(tenant: str) -> str:
    """The bytes of each of a tenant's uploads, by id."""
    return f"{_ROOT}:{tenant}:uploads"


def stored_bytes(tenant: str) -> str:
    """The bytes of a tenant's uploads together."""
    return f"{_ROOT}:{tenant}:stored-bytes"


def record_bytes(tenant: str) -> str:
    """The bytes of a tenant's records: of open and of ended jobs, and of uploads."""
    return f"{_ROOT}:{tenant}:record-bytes"


def submissions(tenant: str) -> str:
    """How far a tenant's submissions are ahead of its rate."""
    return f"{_ROOT}:{tenant}:submissions"


def drained(model: str) -> str:
    """How many jobs of a model ended lately."""
    return f"{_ROOT}:drained:{model}"


def drained_by(tenant: str) -> str:
    """How many jobs of a tenant ended lately."""
    return f"{_ROOT}:{tenant}:drained"


def exhausted(tenant: str) -> str:
    """A tenant's deliveries that were given up, by id and so by age."""
    return f"{_ROOT}:{tenant}:exhausted"


def deliveries(tenant: str, job_id: str) -> str:
    """A job's deliveries, in order."""
    return f"{_ROOT}:{tenant}:job:{job_id}:deliveries"


def delivery(tenant: str, delivery_id: str) -> str:
    """A delivery's record and how it stands."""
    return f"{_ROOT}:{tenant}:delivery:{delivery_id}"


def attempts(tenant: str, delivery_id: str) -> str:
    """A delivery's log."""
    return f"{_ROOT}:{tenant}:delivery:{delivery_id}:attempts"


def pending(receiver: str) -> str:
    """A receiver's deliveries, by when they are due."""
    return f"{_ROOT}:receiver:{receiver}:pending"


def sending(receiver: str) -> str:
    """A receiver's deliveries that are under way."""
    return f"{_ROOT}:receiver:{receiver}:sending"


def streak(receiver: str) -> str:
    """How many deliveries a receiver took in a row, lately."""
    return f"{_ROOT}:receiver:{receiver}:streak"


def rest(receiver: str) -> str:
    """Stands while a receiver is left alone, as it asked."""
    return f"{_ROOT}:receiver:{receiver}:rest"


def tenant_facts(tenant: str) -> str:
    """A tenant's secrets, sealed, and its quotas."""
    return f"{_ROOT}:{tenant}:tenant"


def api_keys(tenant: str) -> str:
    """A tenant's API keys, by id; `API_KEYS` finds one by the beginning of its digest."""
    return f"{_ROOT}:{tenant}:api-keys"


def bootstrap(tenant: str) -> str:
    """Digest of the API key that the operator gave a tenant at the start."""
    return f"{_ROOT}:{tenant}:bootstrap"


def endpoints(tenant: str) -> str:
    """A tenant's callback endpoints, by id."""
    return f"{_ROOT}:{tenant}:endpoints"


def worker(worker_id: str) -> str:
    """A worker's last heartbeat."""
    return f"{_ROOT}:worker:{worker_id}"


def served_lately(model: str) -> str:
    """Exists for a while after a warm worker's last heartbeat."""
    return f"{_ROOT}:served-lately:{model}"


def blob_folders(tenant: str) -> tuple[str, str]:
    """What the keys of a tenant's blobs begin with, by their kind."""
    return f"{tenant}/uploads", f"{tenant}/results"


def upload_key(tenant: str, upload_id: str) -> str:
    """Blob of an upload."""
    return f"{tenant}/uploads/{upload_id}"


def result_prefix(tenant: str, job_id: str) -> str:
    """What the blobs of a job's results, recorded or not, begin with."""
    return f"{tenant}/results/{job_id}/"


def job_of_results(prefix: str) -> tuple[str, str]:
    """The tenant and the job behind a `result_prefix`."""
    tenant, _, job_id, _ = prefix.split("/")
    return tenant, job_id


def result_key(tenant: str, job_id: str, token: int) -> str:
    """Blob of the result of one claim."""
    return f"{result_prefix(tenant, job_id)}{token}.json"


def live(record: JobRecord) -> list[str]:
    """The keys that every transition of a job touches, in the scripts' order."""
    return [
        job(record.tenant, record.id),
        ready(record.model, record.priority),
        LEASES,
        EXPIRIES,
        listed(record.tenant, JobState.QUEUED),
        listed(record.tenant, JobState.RUNNING),
    ]
