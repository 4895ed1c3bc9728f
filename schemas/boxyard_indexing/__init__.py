"""Makes the catalogue, `boxyard_schemas/catalogue.json`, from the index in mmdet's wheel.

    index         what mmdet's model index says, entry by entry
    configs       what an entry's resolved configuration says
    legacy        mmdet-2's names: read from a table, which is made from mmdet 2's wheels
    repairs       what the index has wrong or leaves out, and where that is known from
    assembly      all of it put together

A developer's tool: `make catalogue` runs it, the distribution lacks it, and a test fails when what
is committed differs from what it makes. It needs mmdet, which the catalogue's readers do not.
"""

from __future__ import annotations

from .assembly import FILE, generate

__all__ = ["FILE", "generate"]
