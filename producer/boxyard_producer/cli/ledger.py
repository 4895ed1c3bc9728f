"""The operator's way in: the ledger itself, past the server and its keys."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from pydantic import ValidationError

from boxyard_schemas.errors import SetupError, Unavailable
from boxyard_schemas.installation import install_command

from ..diagnosis.extras import is_installed
from ..stack.credentials import DEFAULT_DATA

if TYPE_CHECKING:
    from boxyard_ledger import Ledger, LedgerSettings


@contextmanager
def open_ledger() -> Iterator[Ledger]:
    """The ledger on BOXYARD_REDIS_URL.

    Raises:
        SetupError: the extra that talks to Redis is missing, a setting does not fit, or nobody
            answers there.
    """
    if not is_installed("ledger"):
        raise SetupError(f"This talks to Redis itself: {install_command('ledger')}")
    from boxyard_ledger import Ledger  # noqa: PLC0415 - needs the extra

    try:
        with Ledger.open(_read_settings()) as ledger:
            yield ledger
    except Unavailable as error:
        raise SetupError(
            f"{error.detail} BOXYARD_REDIS_URL says where it is; for a stack of `boxyard up`, "
            f"`. {DEFAULT_DATA}/env` sets that."
        ) from error


def _read_settings() -> LedgerSettings:
    from boxyard_ledger.settings import LedgerSettings, describe_faults  # noqa: PLC0415

    try:
        return LedgerSettings()
    except ValidationError as error:
        raise SetupError("\n".join(describe_faults(error))) from None
