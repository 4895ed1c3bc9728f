"""The operator's way in: the ledger itself, past the server and its keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import ValidationError

from boxyard_schemas.errors import SetupError

from ..diagnosis.extras import is_installed

if TYPE_CHECKING:
    from boxyard_ledger import Ledger, LedgerSettings


@contextmanager
def open_ledger() -> Iterator[Ledger]:
    """The ledger on BOXYARD_REDIS_URL.

    Raises:
        SetupError: the extra that talks to Redis is missing, or a setting does not fit.
    """
    if not is_installed("ledger"):
        raise SetupError("This talks to Redis itself: pip install 'boxyard[ledger]'")
    from boxyard_ledger import Ledger  # noqa: PLC0415 - needs the extra

    with Ledger.open(_read_settings()) as ledger:
        yield ledger


def _read_settings() -> LedgerSettings:
    from boxyard_ledger.settings import LedgerSettings, describe_faults  # noqa: PLC0415

    try:
        return LedgerSettings()
    except ValidationError as error:
        raise SetupError("\n".join(describe_faults(error))) from None
