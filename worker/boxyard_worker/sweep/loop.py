"""The sweep loop."""

from __future__ import annotations

from pathlib import Path
from threading import Event

import structlog
from pydantic import Field

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_schemas.errors import ServiceError

from ..pulse import Pulse
from ..signals import stop_on_signals

_log = structlog.get_logger()


class SweepSettings(LedgerSettings):
    """One sweep process; environment names begin with BOXYARD_."""

    sweep_interval_s: float = Field(1.0, gt=0, description="Pause between ticks.")
    pulse_file: Path | None = Field(None, description="Touched by each tick that got through.")


def run(settings: SweepSettings) -> None:
    """Sweeps until SIGTERM or SIGINT."""
    stop = stop_on_signals()
    with Ledger.open(settings) as ledger:
        _log.info("sweep started")
        pulse = Pulse(settings.pulse_file)
        sweep(ledger, stop, pulse, interval_s=settings.sweep_interval_s)
    _log.info("sweep stopped")


def sweep(ledger: Ledger, stop: Event, pulse: Pulse, *, interval_s: float) -> None:
    """Ticks until `stop` is set; a ledger that is away is tried again at the next tick."""
    while not stop.wait(interval_s):
        try:
            done = ledger.sweeps.sweep()._asdict()
        except ServiceError as error:
            _log.warning("the ledger is away", why=error.detail)
            continue
        pulse.beat()
        if counts := {name: count for name, count in done.items() if count}:
            _log.info("swept", **counts)
