import json
from pathlib import Path

import cv2
import numpy as np
import pytest

from demo_model.cache import TRAINING_SEEDS
from demo_model.pictures import DEMO_PICTURES, HELD_OUT_SEEDS, choose_demo_seeds, write
from demo_model.render import CLASSES


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pictures")
    write(folder, choose_demo_seeds())
    return folder


def test_the_committed_truth_is_what_the_script_writes(fresh: Path, images: Path) -> None:
    committed = json.loads((images / "truth.json").read_text())
    assert committed == json.loads((fresh / "truth.json").read_text())
    assert len(committed["images"]) == DEMO_PICTURES
    assert tuple(entry["name"] for entry in committed["categories"]) == CLASSES


def test_the_committed_pictures_are_what_the_script_draws(fresh: Path, images: Path) -> None:
    names = sorted(path.name for path in images.glob("*.jpg"))
    assert names == sorted(path.name for path in fresh.glob("*.jpg"))
    for name in names:
        old = cv2.imread(str(images / name)).astype(np.float32)
        new = cv2.imread(str(fresh / name)).astype(np.float32)
        assert np.abs(old - new).mean() < 2, name


def test_no_held_out_picture_was_trained_on() -> None:
    assert not set(HELD_OUT_SEEDS) & set(TRAINING_SEEDS)
