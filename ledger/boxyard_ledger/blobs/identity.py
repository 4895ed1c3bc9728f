"""The id of a stack's blob store: it lies in the store, and Redis remembers it.

An unmounted disk leaves an empty directory, and a bucket that was made anew is empty too. By its
contents alone neither differs from a store whose blobs were deleted: the id makes the difference.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable

from boxyard_schemas.errors import Unavailable

from .. import keys
from ..connection import Connection

NAME = ".boxyard-store"
"""What the id is called in a store."""
_RETRY_AFTER_S = 5


class StoreIdentity:
    """Compares the id found in a store with the one that Redis remembers; thread-safe."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.known: str | None = None
        """The id that this process confirmed last."""

    @property
    def settled(self) -> bool:
        """Whether this process knows the id."""
        return self.known is not None

    def confirm(
        self, find: Callable[[], str | None], create: Callable[[], str], place: str
    ) -> None:
        """Compares; the first process of a new stack sets the store up.

        Args:
            find: reads the id in the store, if it has one.
            create: puts an id into the store, unless it has one meanwhile; returns the store's id.
            place: what the error calls the store.

        Raises:
            Unavailable: this is not the stack's store, or Redis is away.
        """
        remembered: str | None = self._connection.command("GET", keys.BLOB_STORE)
        expected = remembered or self.known
        # Read after Redis: a store has its id before Redis remembers it.
        found = find()
        if expected is None:
            expected = found = found or create()
        if found != expected:
            raise Unavailable(_describe(found, expected, place), retry_after_s=_RETRY_AFTER_S)
        if remembered is None:
            self._connection.command("SET", keys.BLOB_STORE, expected, "NX")
        self.known = expected

    def replace(self, store_id: str) -> None:
        """Takes the store with this id for the stack's from now on, whatever it was before."""
        self._connection.command("SET", keys.BLOB_STORE, store_id)
        self.known = store_id


def new_store_id() -> str:
    """An id for a store that has none."""
    return f"store_{secrets.token_hex(16)}"


def _describe(found: str | None, expected: str, place: str) -> str:
    what = f"another store's ({found[:64]!r})" if found else "missing"
    return (
        f"{place} is not the blob store of this stack: the id in its {NAME} is {what}, and "
        f"{expected} is expected. Is its disk mounted, and the right one? Work waits until it is. "
        "If the former store is lost for good: `boxyard blobs adopt`."
    )
