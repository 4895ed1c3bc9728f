from __future__ import annotations

from . import FILE, generate

FILE.write_text(generate())
