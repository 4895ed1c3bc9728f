"""A tenant's receiver: it verifies what comes as the tenant would, and writes it down."""

from __future__ import annotations

from collections.abc import Callable

from standardwebhooks import Webhook, WebhookVerificationError

from boxyard_schemas import Event
from chaos.callers import marker_of
from chaos.history import Heard, History
from receivers import Answer, Received, Receiver


class Listener(Receiver):
    """Hears callbacks for one tenant, by the official library.

    Args:
        tenant: whose.
        secrets: those that are good now.
        history: is told.
        answers: as a `Receiver` gives them.
        port: to listen on; any that is free by default.
    """

    def __init__(
        self,
        tenant: str,
        secrets: Callable[[], list[str]],
        history: History,
        *answers: Answer,
        port: int = 0,
    ) -> None:
        self.tenant, self._secrets, self._history = tenant, secrets, history
        super().__init__(*answers, port=port)

    def heard(self, received: Received) -> None:
        event = Event.model_validate_json(received.body)
        line = Heard(
            self.tenant,
            event.data.job.id,
            event.data.job.metadata.get("marker", "unmarked"),
            event.data.job.state,
            received.headers["webhook-id"],
            any(_verifies(secret, received) for secret in self._secrets()),
            marker_of(event.data.result) if event.data.result else "",
        )
        self._history.note(line)


def _verifies(secret: str, received: Received) -> bool:
    try:
        Webhook(secret).verify(received.body, received.headers)
    except WebhookVerificationError:
        return False
    return True
