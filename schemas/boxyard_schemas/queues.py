"""Names on the broker. A Celery message is a bell: it names a queue and carries no job."""

from __future__ import annotations

from typing import Literal

from .jobs import ModelName
from .words import Request

DETECT_TASK = "boxyard.detect"


class Bell(Request):
    """The one keyword argument of the detect task: this model has ready jobs."""

    version: Literal[1] = 1
    model: ModelName


def detect_queue(model: str) -> str:
    """The queue on which a model's bells ring."""
    return f"detect.{model}"
