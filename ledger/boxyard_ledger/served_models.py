"""Which models were served: they stay known while their workers restart, until they are forgotten.

`keys.SERVED_MODELS` is a set of names. Beside it each model has a key that expires a while after
the last heartbeat of a warm worker, by Redis' clock.
"""

from __future__ import annotations

from boxyard_schemas.errors import Conflict, NotFound

from . import keys
from .connection import Connection
from .quarantine import Quarantine
from .workers import Workers


class ServedModels:
    """Names of the models that warm workers serve or have served."""

    def __init__(self, connection: Connection, workers: Workers, quarantine: Quarantine) -> None:
        self._connection, self._workers, self._quarantine = connection, workers, quarantine

    def names(self) -> set[str]:
        """All that were served and not forgotten since."""
        found = self._connection.command("SMEMBERS", keys.SERVED_MODELS)
        return set(self._quarantine.keep_names(keys.SERVED_MODELS, found, keys.MODEL_NAME))

    def was_served_lately(self, model: str) -> bool:
        """Whether a warm worker served the model moments ago."""
        return bool(self._connection.command("EXISTS", keys.served_lately(model)))

    def forget(self, model: str) -> None:
        """Forgets a model, until a worker serves it again.

        Raises:
            Conflict: a worker serves it now.
            NotFound: none has served it.
        """
        if any(worker.model == model for worker in self._workers.all()):
            raise Conflict(f"A worker serves {model!r} now. Stop its workers first.")
        removed, _ = self._connection.commands(
            ("SREM", keys.SERVED_MODELS, model), ("DEL", keys.served_lately(model)), atomic=True
        )
        if not removed:
            raise NotFound(f"No worker has served a model called {model[:64]!r} here.")
