"""One picture's way: fetch, decode, resize, infer, encode."""

from __future__ import annotations

import hashlib
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from boxyard_schemas import Detection, ImageInfo, ImageSuccess, Timings
from boxyard_worker.detect.decode import decode
from boxyard_worker.detect.encode import encode
from boxyard_worker.detect.fetch import Fetcher
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.model import Model
from boxyard_worker.detector.contract import ModelDescription, ModelImage, Pixels, RawDetections
from boxyard_worker.detector.resize import resize


class Dropped(Exception):
    """The job is no longer this worker's, or the worker is in a hurry to end."""


class Pictures:
    """Takes pictures from their source to their detections.

    Args:
        fetcher: gets the bytes.
        model: infers.
        description: of the model.
        max_pixels: cap for decoding.
        hurry: set when the worker must end at once.
    """

    def __init__(
        self,
        fetcher: Fetcher,
        model: Model,
        description: ModelDescription,
        *,
        max_pixels: int,
        hurry: threading.Event,
    ) -> None:
        self._fetcher = fetcher
        self._model = model
        self._description = description
        self._max_pixels = max_pixels
        self._hurry = hurry
        # A decoded picture is large and decoding takes a core: no more at once than there are.
        self._decoders = threading.Semaphore(os.cpu_count() or 1)

    def process(self, job: HeldJob, index: int) -> ImageSuccess:
        """Carries one picture of a job through.

        Raises:
            WorkError: what becomes the picture's outcome.
            Dropped: nobody wants the outcome any more.
            Unavailable: the blob store or the model is away; the job should go back.
        """
        source = job.record.images[index]
        clock: dict[str, float] = {}
        with self._stage(job, index, "fetch", clock):
            data = self._fetcher.fetch(job, source)
        with self._decoders, self._stage(job, index, "decode", clock):
            pixels = decode(data, max_pixels=self._max_pixels)
            image = self._model_image(job, pixels)
        info = ImageInfo(
            width=image.width, height=image.height, sha256=hashlib.sha256(data).hexdigest()
        )
        del data, pixels  # many pictures wait here for the device
        with self._stage(job, index, "infer", clock):
            raw = self._infer(job, index, image)
        with self._stage(job, index, "encode", clock):
            boxes = self._encode(job, raw, info)
        return ImageSuccess(
            reference=source.reference, boxes=boxes, image=info, timings_ms=Timings(**clock)
        )

    @contextmanager
    def _stage(
        self, job: HeldJob, index: int, name: str, clock: dict[str, float]
    ) -> Iterator[None]:
        if job.lost.is_set() or self._hurry.is_set():
            raise Dropped
        job.log.debug("picture.stage", stage=name, index=index)
        start = time.perf_counter()
        yield
        clock[name] = round((time.perf_counter() - start) * 1000, 3)

    def _model_image(self, job: HeldJob, pixels: Pixels) -> ModelImage:
        height, width = pixels.shape[:2]
        plan = self._description.plan
        parameters = job.record.parameters
        return ModelImage(
            pixels=resize(pixels, plan) if plan else pixels,
            width=width,
            height=height,
            score_threshold=parameters.score_threshold,
            max_detections=parameters.max_detections,
            masks=self._description.masks and parameters.masks != "none",
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
