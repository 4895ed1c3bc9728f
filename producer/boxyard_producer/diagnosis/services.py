"""What a server and its workers need around them, as far as the environment names it."""

from __future__ import annotations

import os
import uuid
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING

from pydantic import ValidationError

from boxyard_schemas.errors import BoxyardError
from boxyard_schemas.words import printable

from ..client import Client, Retries
from ..stack.credentials import DEFAULT_DATA
from .finding import Finding

_SHOWN = 5

if TYPE_CHECKING:
    from boxyard_ledger import Ledger


def examine_stores() -> Iterator[Finding]:
    """Redis and the blob store, where they are set."""
    from boxyard_ledger import Ledger, LedgerSettings  # noqa: PLC0415 - needs the extras
    from boxyard_ledger.settings import describe_faults  # noqa: PLC0415

    try:
        ledger = Ledger.open(LedgerSettings())
    except ValidationError as error:
        detail = "\n".join(describe_faults(error))
        yield Finding(name="settings", ok=False, detail=detail, mend="Mend BOXYARD_…")
        return
    except BoxyardError as error:
        yield Finding(name="settings", ok=False, detail=error.detail, mend="Mend BOXYARD_…")
        return
    with ledger:
        yield (
            _examine_redis(ledger)
            if "BOXYARD_REDIS_URL" in os.environ
            else _unset("Redis", "BOXYARD_REDIS_URL")
        )
        if "BOXYARD_REDIS_URL" in os.environ:
            yield from _examine_records(ledger)
        yield (
            _examine_blobs(ledger)
            if "BOXYARD_BLOB_URL" in os.environ
            else _unset("blob store", "BOXYARD_BLOB_URL")
        )


def examine_server() -> Finding:
    """Whether the server that the environment names takes the key."""
    if "BOXYARD_URL" not in os.environ:
        return _unset("server", "BOXYARD_URL")
    try:
        with Client(retries=Retries(patience_s=0), timeout_s=10) as client:
            models = client.models()
    except BoxyardError as error:
        return Finding(
            name="server",
            ok=False,
            detail=error.detail,
            mend="Mend BOXYARD_URL or BOXYARD_API_KEY.",
        )
    served = sum(bool(model.workers) for model in models)
    return Finding(name="server", ok=True, detail=f"{client.address.url}, {served} models served")


def _examine_redis(ledger: Ledger) -> Finding:
    try:
        warnings = ledger.check_server()
    except BoxyardError as error:
        return Finding(name="Redis", ok=False, detail=error.detail, mend="Mend BOXYARD_REDIS_URL.")
    if warnings:
        return Finding(name="Redis", ok=False, detail="; ".join(warnings), required=False)
    return Finding(name="Redis", ok=True, detail="keeps and syncs every write")


def _examine_records(ledger: Ledger) -> Iterator[Finding]:
    """What could not be read in Redis; nothing when all could, or Redis is away."""
    try:
        found, unlisted = ledger.quarantine_review.all(), ledger.quarantine.unlisted()
    except BoxyardError:
        return
    if found:
        reasons = Counter(printable(each.reason) for each in found)
        counts = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
        places = "; ".join(printable(each.place) for each in found[-_SHOWN:])
        more = f" and {unlisted} more that the full list has not" if unlisted else ""
        yield Finding(
            name="records",
            ok=False,
            detail=f"{len(found)} could not be read ({counts}){more}, the newest: {places}",
            mend="`boxyard quarantine` lists them, puts them back and deletes them.",
            required=False,
        )


def _examine_blobs(ledger: Ledger) -> Finding:
    key, content = f"doctor/{uuid.uuid4().hex}", b"boxyard"
    try:
        ledger.blobs.put(key, content)
        same = ledger.blobs.get(key) == content
        ledger.blobs.delete(key)
    except (BoxyardError, OSError) as error:
        return Finding(
            name="blob store", ok=False, detail=str(error), mend="Mend BOXYARD_BLOB_URL."
        )
    return Finding(name="blob store", ok=same, detail="writes, reads and deletes")


def _unset(name: str, variable: str) -> Finding:
    return Finding(
        name=name,
        ok=False,
        detail=f"{variable} is not set",
        mend=f"To look at a stack of `boxyard up` too: . {DEFAULT_DATA}/env",
        required=False,
    )
