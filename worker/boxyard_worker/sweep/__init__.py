"""Puts right what a crash left behind: bells, leases, expiries, retention.

Nothing enters but the clock; the ledger's sweeps do the work, a bounded amount a tick, so any
number of these loops may run at once.
"""

from .loop import SweepSettings, run, sweep

__all__ = ["SweepSettings", "run", "sweep"]
