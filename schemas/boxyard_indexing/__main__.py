from __future__ import annotations

import sys
from pathlib import Path

from . import FILE, generate
from .legacy import TABLE, join

if wheels := sys.argv[1:]:
    TABLE.write_text(join([Path(wheel) for wheel in wheels]))
FILE.write_text(generate())
