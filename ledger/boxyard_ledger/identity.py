"""The id of the ledger that Redis holds: a Redis without it, or with another, lost its data."""

from __future__ import annotations

import secrets

from . import keys
from .connection import Connection


def read_identity(connection: Connection) -> str | None:
    """The id, if Redis holds a ledger."""
    found: str | None = connection.command("GET", keys.LEDGER)
    return found


def establish_identity(connection: Connection) -> str:
    """Gives the ledger an id, unless it has one; returns the one that it has."""
    if known := read_identity(connection):  # read first: a key of a wrong type goes out of the way
        return known
    connection.command("SET", keys.LEDGER, f"ledger_{secrets.token_hex(16)}", "NX")
    found: str = connection.command("GET", keys.LEDGER)
    return found
