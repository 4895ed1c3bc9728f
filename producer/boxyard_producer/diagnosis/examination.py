"""What is looked at, in order."""

from __future__ import annotations

import sys
from collections.abc import Iterator

from .extras import examine_extras, is_installed
from .finding import Finding
from .services import examine_server, examine_stores
from .worker import examine_worker


def examine() -> Iterator[Finding]:
    """Look at everything; what is neither installed nor set is said and not held wrong."""
    yield _examine_python()
    yield from examine_extras()
    if is_installed("detect"):
        yield from examine_worker()
    if is_installed("ledger"):
        yield from examine_stores()
    yield examine_server()


def _examine_python() -> Finding:
    found = f"{sys.version_info.major}.{sys.version_info.minor}.{sys.version_info.micro}"
    return Finding(
        name="Python",
        ok=(3, 11) <= sys.version_info < (3, 14),
        detail=found,
        mend="Use Python 3.11, 3.12 or 3.13.",
    )
