"""Where weights are kept, and what fetching them may take."""

from __future__ import annotations

import os
from pathlib import Path

from pydantic import Field

from boxyard_ledger.settings import Settings, Words


def _cache_home() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "boxyard" / "weights"


class CacheSettings(Settings):
    """For all that read or write the cache. Environment names begin with BOXYARD_."""

    weights_dir: Path = Field(
        default_factory=_cache_home,
        description="Pulled weights; by default in the user's cache folder, `XDG_CACHE_HOME`.",
        json_schema_extra={"default": "`~/.cache/boxyard/weights`"},
    )


class WeightsSettings(CacheSettings):
    """For the commands that fetch weights."""

    weights_mirrors: Words = Field(
        (), description="Base URLs that are asked before the published host, comma-separated."
    )
    weights_mirrors_only: bool = Field(False, description="Never ask the published host.")
    weights_max_bytes: int = Field(8 << 30, ge=1, description="Of one file as it is fetched.")
    weights_deadline_s: float = Field(6 * 3600, gt=0, description="For one file, tries together.")
    weights_timeout_s: float = Field(30, gt=0, description="For a connection, and between bytes.")
    weights_attempts: int = Field(
        5, ge=1, description="At one address, while nothing more of the file comes."
    )
