"""The recorded result of a job, as it was stored."""

from __future__ import annotations

import hashlib

from boxyard_ledger import BlobStore, ResultReference
from boxyard_schemas.errors import Permanent


def read_result(blobs: BlobStore, reference: ResultReference) -> bytes:
    """The bytes that the job's end recorded.

    Raises:
        Permanent: `blob-missing`, or `result-damaged`: they are not what was recorded.
        Unavailable: the store is away.
    """
    stored = blobs.get(reference.key)
    if hashlib.sha256(stored).hexdigest() != reference.sha256:
        raise Permanent("result-damaged", f"{reference.key} is not what was recorded")
    return stored
