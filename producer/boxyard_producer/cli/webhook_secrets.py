"""Which secrets callbacks are signed with, for the commands of consumers."""

from __future__ import annotations

import os

from boxyard_schemas.errors import SetupError

from ..stack.credentials import DEFAULT_DATA, Credentials
from ..webhooks import sign

NAME = "BOXYARD_WEBHOOK_SECRET"


def find_secrets(given: list[str] | None) -> list[str]:
    """Those that were given, else the environment's, else that of the stack in .boxyard here.

    Raises:
        SetupError: there is none.
        WebhookInvalid: one of them is no secret.
    """
    local = Credentials.find(DEFAULT_DATA)
    found = given or os.environ.get(NAME, "").split() or ([local.webhook_secret] if local else [])
    if not found:
        raise SetupError(f"No secret to verify with: give --secret, or set {NAME}.")
    sign("dlv_", b"", found)
    return found
