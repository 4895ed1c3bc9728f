"""The stored result of a job, for the operations that answer with it."""

from __future__ import annotations

from boxyard_ledger import BlobMissing, Ledger, ResultDamaged, ResultReference, read_result
from boxyard_schemas.errors import NotFound, Unreadable


def read_stored(ledger: Ledger, job_id: str, reference: ResultReference) -> bytes:
    """What the model found, byte for byte as it was stored.

    Raises:
        NotFound: it is no longer kept.
        Unreadable: it was damaged in the blob store.
        Unavailable: the store is away.
    """
    try:
        return read_result(ledger.blobs, reference)
    except BlobMissing as error:
        raise NotFound(f"The result of {job_id} is no longer kept.") from error
    except ResultDamaged as error:
        raise Unreadable(
            f"The result of {job_id} was damaged in the blob store: {error.detail}. Submit the job "
            "again, or have the operator restore the blob from a backup.",
            cause="damaged",
        ) from error
