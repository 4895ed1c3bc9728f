"""The sweep loop."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from threading import Event

import structlog
from pydantic import Field

from boxyard_ledger import Ledger, LedgerSettings, exposed
from boxyard_ledger.sweeps import LIMIT
from boxyard_schemas.errors import ServiceError

from ..meters import SweepMeters
from ..precaution import check_redis
from ..pulse import Pulse
from ..signals import stop_on_signals

_log = structlog.get_logger()
Step = Callable[[], dict[str, int]]
"""What a tick does; how much of each kind."""


class SweepSettings(LedgerSettings):
    """One sweep process; environment names begin with BOXYARD_."""

    sweep_interval_s: float = Field(1.0, gt=0, description="Pause between ticks.")
    pulse_file: Path | None = Field(None, description="Touched by each tick that got through.")


def run(settings: SweepSettings) -> None:
    """Sweeps until SIGTERM or SIGINT.

    Raises:
        SetupError: Redis evicts, the way to it is set up wrongly, or the port for metrics is
            taken.
    """
    stop = stop_on_signals()
    with Ledger.open(settings) as ledger:
        check_redis(ledger)
        _log.info("sweep started")
        pulse, meters = Pulse(settings.pulse_file), SweepMeters(ledger.registry)
        with exposed(ledger.registry, settings):
            sweep(ledger, stop, pulse, interval_s=settings.sweep_interval_s, meters=meters)
    _log.info("sweep stopped")


def sweep(
    ledger: Ledger,
    stop: Event,
    pulse: Pulse,
    *,
    interval_s: float,
    meters: SweepMeters | None = None,
) -> None:
    """Ticks until `stop` is set; a ledger that is away is tried again at the next tick.

    Blobs have a loop of their own: their store may hang while leases end.
    """

    def sweep_records() -> dict[str, int]:
        done = ledger.sweeps.sweep_records()._asdict()
        pulse.beat()
        return done

    def erase_blobs() -> dict[str, int]:
        return {"erased": ledger.sweeps.erase_blobs()}

    meters = meters or SweepMeters()
    steps = {"records": sweep_records, "blobs": erase_blobs}
    with ThreadPoolExecutor() as pool:
        loops = [
            pool.submit(_tick, _measured(name, step, meters), stop, interval_s)
            for name, step in steps.items()
        ]
        wait(loops, return_when=FIRST_COMPLETED)
        stop.set()
    for loop in loops:
        loop.result()


def _measured(name: str, step: Step, meters: SweepMeters) -> Step:
    def measured() -> dict[str, int]:
        with meters.seconds.labels(name).time():
            done = step()
        meters.last.labels(name).set_to_current_time()
        for kind, count in done.items():
            meters.swept.labels(kind).inc(count)
        return done

    return measured


def _tick(step: Step, stop: Event, interval_s: float) -> None:
    pause = interval_s
    while not stop.wait(pause):
        pause = interval_s
        try:
            done = step()
        except ServiceError as error:
            _log.warning("the ledger is away", why=error.detail)
            continue
        if counts := {name: count for name, count in done.items() if count}:
            _log.info("swept", **counts)
            # What met the bound of a tick may have more behind it.
            pause = 0 if max(counts.values()) >= LIMIT else interval_s
