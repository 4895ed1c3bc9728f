"""A worker's child sees the one device that it is pinned to."""

from __future__ import annotations

import pytest

from boxyard_schemas.errors import SetupError
from boxyard_worker.detect.device import Device, pin


@pytest.mark.parametrize(
    ("device", "shown", "pinned"),
    [
        ("cpu", None, Device("cpu", "")),
        ("cpu", "0,1", Device("cpu", "")),
        ("cuda", None, Device("cuda:0", "0")),
        ("cuda:2", None, Device("cuda:0", "2")),
        ("cuda:1", "4,GPU-8f3a,6", Device("cuda:0", "GPU-8f3a")),
    ],
)
def test_the_number_counts_among_the_gpus_that_are_shown(
    device: str, shown: str | None, pinned: Device
) -> None:
    environment = {} if shown is None else {"CUDA_VISIBLE_DEVICES": shown}
    assert pin(device, environment) == pinned


@pytest.mark.parametrize("shown", ["4", "4,5"])
def test_a_gpu_that_the_environment_does_not_show_is_not_taken(shown: str) -> None:
    with pytest.raises(SetupError, match="CUDA_VISIBLE_DEVICES"):
        pin("cuda:2", {"CUDA_VISIBLE_DEVICES": shown})
