"""The operator's tenant and key: registered at the start, and again when Redis lost its data."""

from __future__ import annotations

from datetime import datetime
from threading import Lock

import structlog

from boxyard_ledger import Ledger
from boxyard_schemas.errors import SetupError, Unavailable, Unreadable
from boxyard_schemas.words import utc_now

from .settings import ServerSettings

_LOST = (
    "Redis lost its data: it was emptied, or another one is in its place. Jobs accepted before are "
    "lost unless its data is put back, and so are tenants and keys"
)
_log = structlog.get_logger(__name__)


class Bootstrap:
    """Notices when Redis no longer holds the ledger that this server knows; thread-safe."""

    def __init__(self, settings: ServerSettings, ledger: Ledger) -> None:
        self._settings, self._ledger = settings, ledger
        self._lock = Lock()
        self._known: str | None = None
        self._seen: str | None = None
        """The ledger at the last look, so that each loss is logged once."""
        self.lost_at: datetime | None = None
        """When this server noticed last that Redis had lost its data."""

    def apply(self) -> list[str]:
        """Registers the operator's tenant and key.

        Returns:
            Warnings: that the key is of no use, or that a damaged record was left as it is.

        Raises:
            SetupError: BOXYARD_API_KEY has no BOXYARD_WEBHOOK_SECRET beside it.
        """
        self._known = self._seen = self._ledger.establish_identity()
        if not self._settings.api_key:
            return []
        if not self._settings.webhook_secret:
            raise SetupError("BOXYARD_API_KEY needs BOXYARD_WEBHOOK_SECRET beside it.")
        key = self._settings.api_key.get_secret_value()
        warnings: list[str] = []
        try:
            self._ledger.tenants.register(
                "default",
                api_key=key,
                webhook_secret=self._settings.webhook_secret.get_secret_value(),
            )
        except Unreadable as error:
            warnings.append(f"BOXYARD_WEBHOOK_SECRET was not taken: {error.detail}")
        try:
            if not self._ledger.api_keys.authenticate(key):
                warnings.append(
                    "BOXYARD_API_KEY was revoked or rotated, and is refused. Set another one."
                )
        except Unreadable as error:
            warnings.append(f"requests with BOXYARD_API_KEY are refused: {error.detail}")
        return warnings

    def check(self) -> None:
        """Compares the ledger in Redis with the one that is known.

        Raises:
            Unavailable: it is gone or another one. Where the operator gave a key, this server has
                registered it again and the next check passes; else it fails until there is a
                tenant.
        """
        with self._lock:
            found = self._ledger.read_identity()
            seen, self._seen = self._seen, found
            self._known = self._known or found
            if found == self._known and found is not None:
                return
            if self._known is None:
                raise Unavailable("Redis holds no tenant yet: `boxyard tenants create`.")
            if found != seen:
                self.lost_at = utc_now()
                _log.critical("ledger.lost", detail=f"{_LOST}.", known=self._known, found=found)
            if self._settings.api_key:
                self.apply()
                self._ledger.blobs.check()  # Redis remembers the blob store again
                raise Unavailable(f"{_LOST}; the server's own key is registered again.")
            if found is not None:
                self._known = found
                return
            raise Unavailable(f"{_LOST}. Put it back, or begin anew: `boxyard tenants create`.")
