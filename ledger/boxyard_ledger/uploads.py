"""Uploads: pictures that jobs name. Each has a line in its tenant's books before its blob."""

from __future__ import annotations

import re
from contextlib import suppress

from boxyard_schemas import Upload, UploadImage, new_id
from boxyard_schemas.errors import TooManyRequests, Unavailable

from . import keys
from .blobs import BlobStore
from .connection import Connection
from .erasures import Erasures
from .indexes import read_until
from .quarantine import Aside, Quarantine
from .records import JobRecord
from .settings import LedgerSettings

_RETRY_AFTER_S = 60
_LOOSE = re.compile(r"[a-z0-9][a-z0-9-]*/upl_[0-9a-f]{32}")


class Uploads:
    """The uploads of all tenants; an upload goes with the last job that names it.

    Every method raises `Unavailable` when Redis or the blob store is away.
    """

    def __init__(
        self,
        connection: Connection,
        settings: LedgerSettings,
        blobs: BlobStore,
        erasures: Erasures,
        quarantine: Quarantine,
    ) -> None:
        self._connection = connection
        self._settings = settings
        self._blobs = blobs
        self._erasures = erasures
        self._quarantine = quarantine

    def store(self, tenant: str, data: bytes) -> Upload:
        """Puts a picture away, durably; for `upload_ttl_s` at least a job may name it.

        Raises:
            TooManyRequests: the tenant's uploads fill its quota; `limit` is `stored-bytes`, or
                `record-bytes` when its records do.
        """
        upload_id = new_id("upl")
        self._enter(tenant, upload_id, len(data))
        try:
            stored = self._blobs.put(keys.upload_key(tenant, upload_id), data)
        except Exception:
            with suppress(Unavailable):  # the sweeper finds it among the loose ones
                self.discard(tenant, upload_id)
            raise
        return Upload(id=upload_id, bytes=stored.size, sha256=stored.sha256)

    def _enter(self, tenant: str, upload_id: str, size: int) -> None:
        bounds = self._settings.max_stored_bytes, self._settings.max_record_bytes
        refused = self._connection.run(
            "store_upload",
            [*_books(tenant), keys.tenant_facts(tenant)],
            [keys.member(tenant, upload_id), upload_id, size, *bounds],
        )
        if refused:
            what = "uploads fill" if refused == "stored-bytes" else "jobs and uploads fill"
            raise TooManyRequests(
                f"There is no room for {size} more bytes: your {what} your quota ({refused}). "
                "Uploads go with the jobs that name them: delete jobs that you no longer need.",
                retry_after_s=_RETRY_AFTER_S,
                limit=refused,
            )

    def recorded(self, tenant: str, upload_id: str) -> bool:
        """Whether the tenant has this upload, wherever its blob is."""
        return bool(self._connection.command("HEXISTS", keys.uploads(tenant), upload_id))

    def discard(self, tenant: str, upload_id: str) -> bool:
        """Erases an upload that no job names; False when one does, or when there is none."""
        dropped = self._drop(tenant, upload_id, 0)
        if dropped:
            self._erasures.carry_out([keys.upload_key(tenant, upload_id)])
        return dropped

    def drop_loose(self, limit: int) -> int:
        """Gives up at most `limit` uploads that no job named for `upload_ttl_s`."""
        age_ms = int(self._settings.upload_ttl_s * 1000)
        latest = self._connection.now_ms() - age_ms
        entries = read_until(self._connection, keys.LOOSE_UPLOADS, latest, limit)
        return sum(self._drop_loose(entry, age_ms) for entry in entries)

    def _drop_loose(self, entry: str, age_ms: int) -> bool:
        if not _LOOSE.fullmatch(entry):
            self._quarantine.set_aside(keys.LOOSE_UPLOADS, [Aside(entry, "unreadable")])
            return False
        tenant, upload_id = keys.split(entry)
        with self._quarantine.guarding(keys.LOOSE_UPLOADS, entry, keys.uploads(tenant)):
            return self._drop(tenant, upload_id, age_ms)
        return False

    def _drop(self, tenant: str, upload_id: str, age_ms: int) -> bool:
        dropped = self._connection.run(
            "drop_upload",
            [*_books(tenant), keys.ERASURES],
            [
                *(keys.member(tenant, upload_id), upload_id),
                *(keys.upload_key(tenant, upload_id), age_ms),
            ],
        )
        return bool(dropped)


def uploads_of(job: JobRecord) -> list[str]:
    """The uploads that a job names, each once."""
    return sorted({image.upload for image in job.images if isinstance(image, UploadImage)})


def _books(tenant: str) -> list[str]:
    return [
        keys.uploads(tenant),
        keys.stored_bytes(tenant),
        keys.LOOSE_UPLOADS,
        keys.record_bytes(tenant),
    ]
