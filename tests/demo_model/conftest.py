import os
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
sys.path.insert(0, os.fspath(ROOT / "examples"))


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    import cv2
    import torch

    torch.set_num_threads(1)
    cv2.setNumThreads(1)


@pytest.fixture
def demo() -> Path:
    """The folder of the packaged demo model."""
    return ROOT / "worker" / "boxyard_worker" / "demo"


@pytest.fixture
def images() -> Path:
    """The folder of the committed demo pictures."""
    return ROOT / "examples" / "images"
