"""One picture's way: fetch, decode, resize, infer, encode.

What a picture may take of the memory is set aside before it is decoded, by what its header says,
and given back once the model has answered.
"""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

from boxyard_schemas import Detection, ImageInfo, ImageSuccess, Timings
from boxyard_schemas.errors import Permanent
from boxyard_worker.decoder.header import Header, read_header
from boxyard_worker.detect.budget import Budget
from boxyard_worker.detect.decoder_process import Decoded, too_many_pixels
from boxyard_worker.detect.decoders import Decoders, memory_of
from boxyard_worker.detect.encode import encode
from boxyard_worker.detect.fetch import Fetcher
from boxyard_worker.detect.hands import Fetched
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.model import Model
from boxyard_worker.detect.turns import Turns
from boxyard_worker.detector.contract import ModelDescription, ModelImage, RawDetections
from boxyard_worker.meters import DetectMeters
from boxyard_worker.settings import DetectSettings


class Dropped(Exception):
    """The job is no longer this worker's, or the worker is in a hurry to end."""


class Pictures:
    """Takes pictures from their source to their detections.

    Args:
        fetcher: gets the bytes.
        decoders: decode.
        model: infers.
        description: of the model.
        settings: which pictures are read, and how much memory they may take.
        hurry: set when the worker must end at once.
        meters: are told how long each stage took.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        decoders: Decoders,
        model: Model,
        description: ModelDescription,
        settings: DetectSettings,
        *,
        hurry: threading.Event,
        meters: DetectMeters | None = None,
    ) -> None:
        self._fetcher = fetcher
        self._model = model
        self._description = description
        self._settings = settings
        self._hurry = hurry
        self._meters = meters or DetectMeters()
        self._memory = Budget(settings.image_memory // 2)
        self._turns = Turns(settings.decoders)
        self._decoders = decoders

    def process(self, job: HeldJob, index: int, fetched: Fetched) -> ImageSuccess:
        """Carries one picture of a job through.

        Args:
            job: the job.
            index: of the picture in it.
            fetched: called once the bytes are there.

        Raises:
            WorkError: what becomes the picture's outcome.
            Dropped: nobody wants the outcome any more.
            Later: it could not be fetched, and is to be processed again after a pause.
            DecoderDied, ModelKilled: by no doing of the image; the job should go back.
            Unavailable: the blob store or the model is away; the job should go back.
        """
        self._check_prompt(job)
        clock: dict[str, float] = {}
        with self._stage(job, index, "fetch", clock):
            data = self._fetcher.fetch(job, index)
        fetched()
        header = self._checked_header(data)
        memory, pixels = memory_of(data, header), 3 * header.width * header.height
        with ExitStack() as held:
            with self._turns.take(job.record.tenant):
                share = held.enter_context(
                    self._memory.hold(memory + 2 * pixels)  # crossing over, and here
                )
                with self._stage(job, index, "decode", clock):
                    plan = self._description.plan
                    image = self._model_image(job, self._decoders.decode(data, memory, plan))
            info = ImageInfo(
                width=image.width, height=image.height, sha256=hashlib.sha256(data).hexdigest()
            )
            del data  # many pictures wait here for the device
            share.shrink(2 * image.pixels.nbytes)  # here and in a slot
            with self._stage(job, index, "infer", clock):
                raw = self._infer(job, index, image)
        with self._stage(job, index, "encode", clock):
            boxes = self._encode(job, raw, info)
        return ImageSuccess(
            reference=job.record.images[index].reference,
            boxes=boxes,
            masks="none" if raw.masks is None else job.record.parameters.masks,
            image=info,
            timings_ms=Timings(**clock),
        )

    def _check_prompt(self, job: HeldJob) -> None:
        if job.record.parameters.text_prompt is not None and not self._description.text_prompt:
            raise Permanent(
                "prompt-not-taken",
                f"{self._description.model} finds its own classes only and takes no text_prompt.",
            )

    def _checked_header(self, data: bytes) -> Header:
        header, settings = read_header(data), self._settings
        if header.format not in settings.image_formats:
            raise Permanent(
                "unsupported-format",
                f"{header.format} is not in the setting BOXYARD_IMAGE_FORMATS.",
            )
        if header.width * header.height > settings.max_pixels:
            raise too_many_pixels(header.width, header.height, settings.max_pixels)
        if header.frames > settings.max_frames:
            raise Permanent(
                "too-many-frames",
                f"The picture has {header.frames} frames; at most {settings.max_frames} may be "
                "there, of which the first is read.",
            )
        return header

    @contextmanager
    def _stage(
        self, job: HeldJob, index: int, name: str, clock: dict[str, float]
    ) -> Iterator[None]:
        if job.lost.is_set() or self._hurry.is_set():
            raise Dropped
        job.log.debug("picture.stage", stage=name, index=index)
        start = time.perf_counter()
        yield
        seconds = time.perf_counter() - start
        clock[name] = round(seconds * 1000, 3)
        self._meters.stages.labels(name).observe(seconds)

    def _model_image(self, job: HeldJob, decoded: Decoded) -> ModelImage:
        parameters = job.record.parameters
        return ModelImage(
            pixels=decoded.pixels,
            width=decoded.width,
            height=decoded.height,
            score_threshold=parameters.score_threshold,
            max_detections=parameters.max_detections,
            masks=self._description.masks and parameters.masks != "none",
            text=parameters.text_prompt,
            custom_entities=parameters.custom_entities,
        )

    def _infer(self, job: HeldJob, index: int, image: ModelImage) -> RawDetections:
        def note(strikes: int) -> None:
            job.log.warning("picture.strike", index=index, strikes=strikes)
            job.strikes[index] = strikes

        return self._model.infer(image, strikes=job.strikes[index], on_strike=note)

    def _encode(self, job: HeldJob, raw: RawDetections, info: ImageInfo) -> tuple[Detection, ...]:
        return encode(
            raw,
            classes=self._description.classes,
            parameters=job.record.parameters,
            width=info.width,
            height=info.height,
        )
