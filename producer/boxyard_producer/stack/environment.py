"""What a shell needs to work on a stack by hand."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from pathlib import Path

from .credentials import Credentials, write_private


def keep_environment(data: Path, shared: Mapping[str, str], credentials: Credentials) -> None:
    """Write `env` into the data directory, for its owner alone: `. .boxyard/env` sets it all.

    With it operators' commands and further workers find the stack, as callers do.

    Args:
        data: the directory.
        shared: what every process of the stack reads.
        credentials: the stack's.
    """
    variables = {
        "BOXYARD_URL": credentials.url,
        "BOXYARD_API_KEY": credentials.api_key,
        "BOXYARD_WEBHOOK_SECRET": credentials.webhook_secret,
        "BOXYARD_SECRET_KEYS": credentials.secret_keys,
        **{name: shared[name] for name in ("BOXYARD_REDIS_URL", "BOXYARD_BLOB_URL")},
    }
    lines = [f"export {name}={shlex.quote(value)}\n" for name, value in variables.items()]
    write_private(data / "env", "".join(lines))
