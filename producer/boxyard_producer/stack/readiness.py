"""Whether a stack can take jobs."""

from __future__ import annotations

import httpx

from boxyard_schemas.errors import ServiceError, SetupError, Unauthorized, UnknownModel

from ..client import Client, Retries
from .credentials import Credentials


class Readiness:
    """Asks the server as a caller would.

    Args:
        credentials: the stack's.
        model: what its worker serves.
        pid: of that worker; one that was killed before this start may still be counted.
    """

    def __init__(self, credentials: Credentials, model: str, pid: int | None) -> None:
        self._credentials, self._model, self._pid = credentials, model, pid

    def server(self) -> bool:
        """Whether the server reaches Redis and the blob store."""
        try:
            return httpx.get(f"{self._credentials.url}/readyz", timeout=5).is_success
        except httpx.TransportError:
            return False

    def model(self) -> bool:
        """Whether the worker has loaded the model and tried it.

        Raises:
            SetupError: the stack's own key was revoked.
        """
        try:
            with self._client() as client:
                model = client.model(self._model)
        except (ServiceError, UnknownModel):
            return False
        except Unauthorized as error:
            raise SetupError(
                "This stack's own API key was revoked. Remove the line of api_key from "
                "credentials.json in its data folder, and the next start makes another."
            ) from error
        # A worker's id is its host, its process and chance.
        own = (worker for worker in model.workers if f"-{self._pid}-" in worker.id)
        return any(worker.warm for worker in own)

    def _client(self) -> Client:
        known = self._credentials
        return Client(known.url, known.api_key, timeout_s=5, retries=Retries(patience_s=0))
