"""Names that the service gives: sortable by time, hard to guess."""

from __future__ import annotations

import secrets
import time
from typing import Annotated, Literal

from pydantic import StringConstraints

Kind = Literal["job", "upl", "dlv", "end", "key"]

JobId = Annotated[str, StringConstraints(pattern=r"^job_[0-9a-f]{32}$")]
UploadId = Annotated[str, StringConstraints(pattern=r"^upl_[0-9a-f]{32}$")]
EndpointId = Annotated[str, StringConstraints(pattern=r"^end_[0-9a-f]{32}$")]
KeyId = Annotated[str, StringConstraints(pattern=r"^key_[0-9a-f]{32}$")]
DeliveryId = Annotated[str, StringConstraints(pattern=r"^dlv_[0-9a-f]{32}$")]
Tenant = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,62}$")]


def new_id(kind: Kind) -> str:
    """A fresh id: 48 bits of milliseconds since 1970, then 80 random bits, in hex."""
    return f"{kind}_{time.time_ns() // 1_000_000:012x}{secrets.token_hex(10)}"
