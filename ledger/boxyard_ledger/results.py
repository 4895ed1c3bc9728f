"""The recorded result of a job, as it was stored."""

from __future__ import annotations

import hashlib

from boxyard_schemas.errors import Permanent

from .blobs import BlobMissing, BlobStore
from .records import ResultReference


class ResultDamaged(Permanent):
    """The store has other bytes than were recorded."""

    def __init__(self, key: str) -> None:
        super().__init__("result-damaged", f"{key} is not what was recorded", key=key)


def read_result(blobs: BlobStore, reference: ResultReference) -> bytes:
    """The bytes that the job's end recorded.

    Raises:
        BlobMissing: there are none.
        ResultDamaged: there are others.
        Unavailable: the store is away.
    """
    try:
        stored = blobs.get(reference.key)
    except BlobMissing as error:
        error.check_folder()
        raise
    if hashlib.sha256(stored).hexdigest() != reference.sha256:
        raise ResultDamaged(reference.key)
    return stored
