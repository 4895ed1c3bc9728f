"""A detect worker: its parts, put together, started and stopped."""

from __future__ import annotations

import os
import secrets
import signal
import socket
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import structlog
from pydantic import ValidationError

from boxyard_ledger import Ledger, StoreRefuses, WorkerRecord, exposed
from boxyard_schemas import ImageOutcome, Provenance
from boxyard_schemas.errors import SetupError, Unavailable
from boxyard_schemas.words import changed, utc_now
from boxyard_worker.detect.application import Consumer
from boxyard_worker.detect.chunk import Chunks
from boxyard_worker.detect.decoders import Decoders
from boxyard_worker.detect.departure import Departure
from boxyard_worker.detect.device import pin
from boxyard_worker.detect.fetch import Fetcher
from boxyard_worker.detect.hands import Hands
from boxyard_worker.detect.lease import Leases
from boxyard_worker.detect.model import Model
from boxyard_worker.detect.patience import when_available
from boxyard_worker.detect.picture import Pictures
from boxyard_worker.detect.progress import Progress
from boxyard_worker.detect.results import Results
from boxyard_worker.detect.slots import Slots
from boxyard_worker.detect.ticker import Ticker
from boxyard_worker.detect.watchdog import Watchdog
from boxyard_worker.detector.contract import ModelDescription
from boxyard_worker.detector.messages import Load
from boxyard_worker.egress import Egress
from boxyard_worker.meters import DetectMeters
from boxyard_worker.pulse import Pulse
from boxyard_worker.settings import DetectSettings

log = structlog.get_logger(__name__)


class Worker:
    """One model on one device, from start to stop.

    Args:
        settings: the operator's, the model's name resolved.
    """

    def __init__(self, settings: DetectSettings) -> None:
        self._settings = settings
        self._ledger = Ledger.open(settings)
        self._egress = Egress(settings)
        self._progress = Progress()
        self._meters = DetectMeters(self._ledger.registry)
        self._meters.jobs.set_function(lambda: self._progress.jobs)
        self._leases = Leases(self._ledger, self._meters)
        self._model = _make_model(settings, self._break, self._meters)
        self._decoders = Decoders(
            settings.decoders,
            max_pixels=settings.max_pixels,
            deadline_s=settings.decode_deadline_s,
            on_broken=self._break,
        )
        self._departure = Departure(self._model, self._progress)
        self._pulse = Pulse(settings.pulse_file)
        host = socket.gethostname()
        self._record = WorkerRecord(
            id=f"{host}-{os.getpid()}-{secrets.token_hex(3)}",
            model=settings.model,
            host=host,
            device=settings.device,
            warm=False,
            started_at=utc_now(),
        )
        self._heartbeat = Ticker("heartbeat", settings.heartbeat_s, self._beat)
        self._keepers = self._make_keepers()

    def run(self) -> int:
        """Serves until it is told to stop; returns the exit code.

        Raises:
            SetupError: Redis evicts, the blob store refuses, images cannot be decoded, the model
                cannot be loaded, or the port for metrics is taken.
        """
        with exposed(self._ledger.registry, self._settings):
            return self._run()

    def _run(self) -> int:
        signal.signal(signal.SIGTERM, lambda *_: os._exit(0))  # nothing is held while it loads
        self._check_server()
        self._check_store()
        self._decoders.start()
        self._heartbeat.start()
        description = self._start_model()
        try:
            self._record = _register(self._record, description)
        except SetupError:
            self._model.stop()
            raise
        self._heartbeat.wake()
        for keeper in self._keepers:
            keeper.start()
        code = self._serve(description)
        self._close()
        return code

    def _start_model(self) -> ModelDescription:
        description, wanted = self._model.start(), self._settings.weights_sha256
        if wanted and description.weights_sha256 != wanted:
            self._model.stop()
            raise SetupError(
                f"The weights have the sha256 {description.weights_sha256 or 'of none'}, and only "
                f"{wanted} may be served, as BOXYARD_WEIGHTS_SHA256 or the record of what was "
                f"pulled says. What was pulled is mended by: boxyard models pull "
                f"{self._settings.model}"
            )
        return description

    def _serve(self, description: ModelDescription) -> int:
        with (
            closing(self._decoders),
            Hands[ImageOutcome](self._count_hands(), on_room=self._ring) as hands,
        ):
            run = self._make_chunks(description, hands).run
            consumer = Consumer(self._settings, self._record.id, run)
            self._departure.of(consumer)
            log.info("worker.ready", worker=self._record.id, model=self._settings.model)
            code = consumer.run()
        self._ring()  # a bell may have been taken on the way out and not answered
        return code

    def _ring(self) -> None:
        self._ledger.bells.ring(self._settings.model)

    def _count_hands(self) -> int:
        """No more than can all hold a picture of the largest size."""
        settings = self._settings
        return max(1, min(settings.hands, settings.image_memory // 2 // settings.max_image_bytes))

    def _close(self) -> None:
        for keeper in (*self._keepers, self._heartbeat):
            keeper.stop()
        self._model.stop()
        try:
            self._ledger.workers.leave(self._record.id)
        except Unavailable:
            log.info("worker.left-silently", worker=self._record.id)
        self._egress.close()
        self._ledger.close()
        log.info("worker.stopped", worker=self._record.id)

    def _check_server(self) -> None:
        for warning in when_available(self._ledger.check_server):
            log.warning("redis.unsafe", detail=warning)

    def _check_store(self) -> None:
        try:
            self._ledger.blobs.check()
        except StoreRefuses as error:
            raise SetupError(error.detail) from error
        except Unavailable:
            return  # away for a while

    def _beat(self) -> None:
        self._ledger.workers.beat(self._record, 3 * self._settings.heartbeat_s)
        self._pulse.beat()

    def _break(self, error: SetupError) -> None:
        log.critical("worker.broken", detail=error.detail)
        self._departure.begin(exit_code=1)

    def _make_keepers(self) -> tuple[Ticker, ...]:
        watchdog = Watchdog(
            self._ledger,
            self._settings.model,
            self._progress,
            stall_s=self._settings.stall_s,
        )
        return (
            Ticker("leases", self._settings.lease_s / 3, self._leases.renew),
            Ticker("watchdog", min(5.0, self._settings.stall_s / 4), watchdog.check),
        )

    def _make_pictures(self, description: ModelDescription) -> Pictures:
        fetcher = Fetcher(self._ledger, self._egress, self._settings)
        return Pictures(
            fetcher,
            self._decoders,
            self._model,
            description,
            self._settings,
            hurry=self._departure.hurry,
            meters=self._meters,
        )

    def _make_chunks(self, description: ModelDescription, hands: Hands[ImageOutcome]) -> Chunks:
        settings, departure = self._settings, self._departure
        results = Results(
            self._ledger,
            patience_s=settings.store_patience_s,
            stopping=departure.stopping,
            meters=self._meters,
        )
        return Chunks(
            worker=self._record.id,
            ledger=self._ledger,
            leases=self._leases,
            pictures=self._make_pictures(description),
            results=results,
            provenance=_provenance(description, settings),
            hands=hands,
            progress=self._progress,
            stopping=departure.stopping,
            meters=self._meters,
        )


def _provenance(description: ModelDescription, settings: DetectSettings) -> Provenance:
    return Provenance(
        model=settings.model,
        weights_sha256=description.weights_sha256,
        config_sha256=description.config_sha256,
        device=settings.device,
        precision=description.precision,
        versions=description.versions,
    )


def _make_model(
    settings: DetectSettings, on_broken: Callable[[SetupError], None], meters: DetectMeters
) -> Model:
    device = pin(settings.device, os.environ)
    slots = Slots(settings.slots, settings.slot_bytes)
    random = settings.weights == "random"
    load = Load(
        model=settings.model,
        detector=settings.detector,
        device=device.name,
        weights=Path(settings.weights) if settings.weights and not random else None,
        random_weights=random,
        config=settings.config,
        max_batch=settings.max_batch,
        max_wait_s=settings.max_wait_ms / 1000,
        slots=slots.files,
        classes=settings.classes,
        language_model=settings.language_model,
    )
    return Model(
        load,
        slots,
        visible_device=device.visible,
        threads=settings.model_threads,
        batch_deadline_s=settings.batch_deadline_s,
        load_deadline_s=settings.load_deadline_s,
        max_strikes=settings.max_strikes,
        on_broken=on_broken,
        meters=meters,
    )


def _register(record: WorkerRecord, description: ModelDescription) -> WorkerRecord:
    """What the heartbeats say once the model is warm.

    Raises:
        SetupError: the model describes itself by what no reader of the record could read.
    """
    try:
        return changed(record, warm=True, classes=description.classes)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        where = ".".join(map(str, fault["loc"]))
        raise SetupError(
            f"The model {record.model} cannot be registered: {where}: {fault['msg']}. Class names "
            "are texts: write one a line into a file, and set BOXYARD_CLASSES to its path."
        ) from error
