"""Which device a child may see."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from boxyard_schemas.errors import SetupError


class Device(NamedTuple):
    """A device, as the child names it and as the environment shows it.

    Attributes:
        name: `cpu`, or `cuda:0`, because the child sees one GPU only.
        visible: the child's CUDA_VISIBLE_DEVICES; no GPU for `cpu`.
    """

    name: str
    visible: str


def pin(device: str, environment: Mapping[str, str]) -> Device:
    """Pins `cpu`, `cuda` or `cuda:N`; N counts among the GPUs that the environment shows.

    Raises:
        SetupError: it shows fewer.
    """
    if device == "cpu":
        return Device("cpu", "")
    number = int(device.partition(":")[2] or 0)
    shown = environment.get("CUDA_VISIBLE_DEVICES")
    if not shown:
        return Device("cuda:0", str(number))
    names = shown.split(",")
    if number >= len(names):
        raise SetupError(
            f"CUDA_VISIBLE_DEVICES shows {len(names)} of the GPUs ({shown}), counted from 0:"
            f" {device} is not among them."
        )
    return Device("cuda:0", names[number])
