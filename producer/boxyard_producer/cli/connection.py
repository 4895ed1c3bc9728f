"""How the command line finds its server."""

from __future__ import annotations

import os

from ..client import Client
from ..stack.credentials import DEFAULT_DATA, Credentials


def connect() -> Client:
    """A client for the server that the environment names, else for the stack in .boxyard here.

    Raises:
        SetupError: neither says who calls.
    """
    if "BOXYARD_URL" in os.environ or "BOXYARD_API_KEY" in os.environ:
        return Client()
    local = Credentials.find(DEFAULT_DATA)
    return Client(local.url, local.api_key) if local else Client()
