"""What an operator may set of a detect worker, by `BOXYARD_…` variables or options."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, field_validator
from pydantic_settings import NoDecode

from boxyard_ledger import LedgerSettings
from boxyard_schemas.content import IMAGE_FORMATS, ImageFormat
from boxyard_worker.cpus import count_cpus, count_model_threads
from boxyard_worker.egress import EgressSettings
from boxyard_worker.weights.settings import CacheSettings


class DetectSettings(CacheSettings, EgressSettings, LedgerSettings):
    """One worker: one model on one device. Environment names begin with BOXYARD_."""

    model: str = Field(
        "rtmdet-ins_demo", description="A name of the catalogue in any spelling, or one's own."
    )
    device: str = Field(
        "cpu", pattern=r"^(cpu|cuda|cuda:\d+)$", description="`cpu`, `cuda` or `cuda:N`."
    )
    weights: str | None = Field(None, description="A safetensors file, or `random`.")
    weights_sha256: str | None = Field(
        None, pattern=r"^[0-9a-f]{64}$", description="Weights of any other digest are not served."
    )
    config: Path | None = Field(
        None, description="mmengine configuration of a model of one's own; it runs as code."
    )
    classes: Path | None = Field(None, description="Label names of a model of one's own.")
    language_model: Path | None = Field(
        None, description="Folder of the BERT vocabulary that a model reads prompts with."
    )
    detector: Literal["mmdetection", "standin"] = Field(
        "mmdetection", description="`standin` finds coloured areas, to try a stack without a model."
    )

    max_batch: int = Field(8, ge=1, description="Most pictures of one device batch.")
    max_wait_ms: float = Field(10, ge=0, description="How long a picture waits for batch mates.")
    batch_deadline_s: float = Field(60, gt=0, description="A device batch's; then a new child.")
    load_deadline_s: float = Field(600, gt=0, description="For loading and warming the model.")

    hands: int = Field(64, ge=1, description="Pictures between fetch and finish at once.")
    model_threads: int = Field(
        default_factory=lambda: count_model_threads(count_cpus()),
        ge=1,
        description="CPU threads of the model's process, in place of OMP_NUM_THREADS and its kin; "
        "more than the CPUs (by affinity and cgroup quota) slow it down.",
        json_schema_extra={"default": "three quarters of the CPUs, one fewer at least"},
    )
    slots: int = Field(48, ge=1, description="Pictures in shared memory at once.")
    slot_bytes: int = Field(4 << 20, ge=1, description="What a free slot keeps; it grows at need.")

    image_formats: Annotated[frozenset[ImageFormat], NoDecode] = Field(
        frozenset(IMAGE_FORMATS), description=f"Those of {', '.join(IMAGE_FORMATS)} that are read."
    )
    max_image_bytes: int = Field(32 << 20, ge=1, description="Of a picture as it is fetched.")
    max_pixels: int = Field(
        64_000_000,
        ge=1,
        description="Of a picture, by its header.",
        json_schema_extra={"unit": "pixels"},
    )
    max_frames: int = Field(1000, ge=1, description="Of a picture; the first one is read.")
    image_memory: int = Field(
        4 << 30,
        ge=64 << 20,
        description="For all pictures in hand: half as fetched, half for their pixels.",
        json_schema_extra={"unit": "bytes"},
    )
    decoders: int = Field(
        default_factory=count_cpus,
        ge=1,
        description="Pictures decoded at once.",
        json_schema_extra={"default": "the CPUs"},
    )
    decode_deadline_s: float = Field(
        10, gt=0, description="CPU time to decode one picture; then it fails."
    )
    fetch_deadline_s: float = Field(
        30,
        gt=0,
        description="How long an image's source is tried again and again before the image fails.",
    )
    store_patience_s: float = Field(120, ge=0, description="While the blob store is away.")

    heartbeat_s: float = Field(
        5, gt=0, description="Between signs of life; after three that are missing it is gone."
    )
    pulse_file: Path | None = Field(None, description="Touched by each heartbeat that got through.")
    stall_s: float = Field(120, gt=0, description="Idle beside ready jobs for so long: restart.")

    @field_validator("image_formats", mode="before")
    @classmethod
    def _split_formats(cls, value: object) -> object:
        if isinstance(value, str):
            return frozenset(name.strip().upper() for name in value.split(",") if name.strip())
        return value
