"""Tells callers: signed callbacks, and copies of results into their buckets.

Claims of due deliveries come in from the ledger; requests go out by the egress, copies by the
ledger's buckets, and each outcome goes back into the ledger. At least once, never in silence: a
delivery ends as delivered or as exhausted, with a log of its attempts.
"""

from .loop import Deliverer, run
from .settings import DeliverSettings

__all__ = ["DeliverSettings", "Deliverer", "run"]
