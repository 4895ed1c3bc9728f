"""The deliver loop: claim what is due, and carry it on many threads."""

from __future__ import annotations

import os
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import structlog

from boxyard_ledger import DeliveryClaim, DeliveryKind, Ledger, exposed, receiver_of
from boxyard_schemas.errors import ServiceError

from ..egress import Egress
from ..meters import DeliverMeters
from ..precaution import check_redis
from ..pulse import Pulse
from ..signals import stop_on_signals
from .channels import BucketChannel, CallbackChannel, Channel
from .courier import Courier, names_of
from .schedule import Schedule
from .settings import DeliverSettings
from .traffic import Traffic

_log = structlog.get_logger()
_AWAY_S = 1.0
_STUCK_S = 600.0
"""No delivery takes so long: its receiver is no longer held for it."""


def run(settings: DeliverSettings) -> None:
    """Delivers until SIGTERM or SIGINT; what is under way is finished and recorded.

    Raises:
        SetupError: BOXYARD_SECRET_KEYS is not fit to open what signs, Redis is not, or the port
            for metrics is taken.
    """
    stop = stop_on_signals()
    with Ledger.open(settings) as ledger, Egress(settings) as egress:
        ledger.sealing.check()
        check_redis(ledger)
        _log.info("deliver started")
        courier = make_courier(settings, ledger, egress, DeliverMeters(ledger.registry))
        with exposed(ledger.registry, settings):
            Deliverer(ledger, courier, settings).run(stop)
    _log.info("deliver stopped")


def make_courier(
    settings: DeliverSettings, ledger: Ledger, egress: Egress, meters: DeliverMeters | None = None
) -> Courier:
    """A courier with both channels."""
    callback = CallbackChannel(
        ledger, egress, public_url=settings.public_url, deadline_s=settings.delivery_deadline_s
    )
    schedule = Schedule(
        settings.delivery_schedule_s, settings.delivery_jitter, settings.max_retry_after_s
    )
    bucket = BucketChannel(ledger)
    channels: dict[DeliveryKind, Channel] = {
        DeliveryKind.CALLBACK: callback,
        DeliveryKind.BUCKET: bucket,
    }
    return Courier(ledger, channels, schedule, max_rest_s=settings.max_rest_s, meters=meters)


class Deliverer:
    """Serves several receivers at once, each by one claim at a time.

    It claims no more than it has free threads, so nothing waits inside this process while its
    lease runs; and nothing of a tenant or an origin that has its share of them.
    """

    def __init__(self, ledger: Ledger, courier: Courier, settings: DeliverSettings) -> None:
        self._ledger = ledger
        self._courier = courier
        self._settings = settings
        self._worker = f"{socket.gethostname()}:{os.getpid()}"
        self._pulse = Pulse(settings.pulse_file)
        self._landed = Event()
        self._renewed = time.monotonic()
        self._traffic = Traffic(
            settings.deliveries_in_flight,
            settings.delivery_tenant_share,
            settings.deliveries_per_origin,
        )

    def run(self, stop: Event) -> None:
        """Delivers until `stop` is set and what was begun is recorded."""
        with ThreadPoolExecutor(self._settings.deliveries_in_flight, "deliver") as threads:
            while not stop.is_set() or self._traffic.under_way():
                self._landed.clear()
                self._renew_in_time()
                claims = [] if stop.is_set() else self._claim(self._traffic.room())
                for claim in claims:
                    self._start(threads, claim)
                if not claims:
                    self._landed.wait(self._settings.delivery_poll_s)

    def _renew_in_time(self) -> None:
        if time.monotonic() < self._renewed + self._settings.delivery_lease_s / 3:
            return
        self._renewed = time.monotonic()
        try:
            self._ledger.deliveries.renew(self._traffic.receivers(_STUCK_S))
        except ServiceError as error:
            _log.warning("holds not renewed", why=error.detail)

    def _claim(self, room: int) -> list[DeliveryClaim]:
        if room == 0:
            self._pulse.beat()
            return []
        limit, busy = min(room, self._settings.deliveries_per_receiver), self._traffic.busy()
        try:
            claims = self._ledger.deliveries.claim(worker=self._worker, limit=limit, busy=busy)
        except ServiceError as error:
            _log.warning("the ledger is away", why=error.detail)
            self._landed.wait(_AWAY_S)
            return []
        self._pulse.beat()
        return claims

    def _start(self, threads: ThreadPoolExecutor, claim: DeliveryClaim) -> None:
        receiver = receiver_of(claim.delivery)
        self._traffic.begin(receiver)
        threads.submit(self._carry, claim, receiver)

    def _carry(self, claim: DeliveryClaim, receiver: str) -> None:
        try:
            self._courier.carry(claim)
        except Exception:  # nobody waits for this thread; the delivery is told again
            _log.exception("outcome lost", **names_of(claim))
        finally:
            self._traffic.end(receiver)
            self._landed.set()
