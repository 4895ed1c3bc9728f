"""How the command line finds its server."""

from __future__ import annotations

import os

from boxyard_schemas.errors import SetupError

from ..client import AsyncClient, Client, Retries
from ..client.address import DEFAULT_URL
from ..stack.credentials import DEFAULT_DATA, Credentials


def connect() -> Client:
    """A client for the server that the environment names, else for the stack in .boxyard here.

    Raises:
        SetupError: neither says who calls.
    """
    return Client(*_place())


def connect_async(retries: Retries) -> AsyncClient:
    """The same for an event loop.

    Raises:
        SetupError: nothing says who calls.
    """
    return AsyncClient(*_place(), retries=retries)


def _place() -> tuple[str] | tuple[str, str]:
    """URL and key of the stack in .boxyard here, unless the environment says more."""
    url = os.environ.get("BOXYARD_URL")
    if url or os.environ.get("BOXYARD_API_KEY"):
        return (url or DEFAULT_URL,)
    local = Credentials.find(DEFAULT_DATA)
    if local is None:
        raise SetupError(
            "Which server, and who calls? Set BOXYARD_URL and BOXYARD_API_KEY, or come to a folder "
            f"where `boxyard up` has left {DEFAULT_DATA}."
        )
    return local.url, local.api_key
