"""Nine models of mmdet's zoo give what they give on mmcv's compiled operators.

`golden/zoo.npz` holds scores, labels and boxes (pixels) of each model, with seeded random weights
on one seeded picture of 320x320, from mmdet 3.3.0 on mmcv 2.1.0 compiled for the CPU, torch 2.13.
"""

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import yaml
from mmdet.registry import MODELS
from mmdet.structures import DetDataSample
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from numpy.typing import NDArray

# mmdet's own code warns, some of it when it is first compiled; what is judged here are numbers.
pytestmark = pytest.mark.filterwarnings("ignore")

SIDE = 320
GOLDEN = dict(np.load(Path(__file__).parent / "golden" / "zoo.npz"))
NAMES = sorted({key.split("|")[0] for key in GOLDEN})

Instances = dict[str, NDArray[Any]]


@cache
def read_index() -> dict[str, Path]:
    """Map each model of the zoo to its config; the first entry of a name counts."""
    root = Path(str(files("mmdet"))) / ".mim"
    configs: dict[str, Path] = {}
    for page in yaml.safe_load((root / "model-index.yml").read_text())["Import"]:
        entries = yaml.safe_load((root / page).read_text())
        models = entries["Models"] if isinstance(entries, dict) else entries
        for model in models or []:
            configs.setdefault(model["Name"], root / model["Config"])
    return configs


def forget_weights(node: object) -> None:
    """Take the published weights out of a config, so that nothing is downloaded."""
    if isinstance(node, ConfigDict):
        for key in node.keys() & {"init_cfg", "pretrained"}:
            node[key] = None
        for value in node.values():
            forget_weights(value)
    elif isinstance(node, list | tuple):
        for item in node:
            forget_weights(item)


def build(name: str) -> torch.nn.Module:
    """Build a model with the random weights of the golden run."""
    config = Config.fromfile(read_index()[name]).model
    forget_weights(config)
    torch.manual_seed(1)
    model: torch.nn.Module = MODELS.build(config)
    model.init_weights()  # type: ignore[operator]  # mmengine's BaseModule has it
    disturb(model)
    return model.eval()


def disturb(model: torch.nn.Module) -> None:
    """Move the weights off their start, where offsets are zero and all scores alike."""
    noise = torch.Generator().manual_seed(5)
    for name, weight in model.named_parameters():
        if "offset" in name:
            weight.data += torch.randn(weight.shape, generator=noise) * 0.02
        elif weight.ndim > 1 and "reg" not in name and "proposal" not in name:
            fan_in = max(1, weight[0].numel())
            weight.data += torch.randn(weight.shape, generator=noise) * 0.2 / fan_in**0.5
        elif "bias" in name and "cls" in name:
            weight.data.fill_(-1.0)


def draw_picture() -> torch.Tensor:
    """Draw soft coloured noise, uint8 (3, SIDE, SIDE)."""
    coarse = np.random.default_rng(0).integers(0, 255, (12, 12, 3), dtype=np.uint8)
    picture = cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    return torch.from_numpy(picture.transpose(2, 0, 1).copy())


def detect(model: torch.nn.Module) -> Instances:
    """Return the scores, labels and boxes of the picture."""
    shapes = ("img_shape", "ori_shape", "pad_shape", "batch_input_shape")
    meta = dict.fromkeys(shapes, (SIDE, SIDE)) | {"scale_factor": (1.0, 1.0), "img_id": 0}
    meta["border"] = np.array([0, SIDE, 0, SIDE], np.float32)
    batch = {"inputs": [draw_picture()], "data_samples": [DetDataSample(metainfo=meta)]}
    with torch.no_grad():
        found = model.test_step(batch)[0].pred_instances  # type: ignore[operator]  # BaseModel's
    return {
        "scores": found.scores.numpy(),
        "labels": found.labels.numpy(),
        "boxes": found.bboxes.numpy(),
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_model_detects_what_it_detects_on_the_compiled_operators(name):
    want = {part: GOLDEN[f"{name}|{part}"] for part in ("scores", "labels", "boxes")}
    with DefaultScope.overwrite_default_scope("mmdet"):
        got = detect(build(name))

    assert got["scores"].shape == want["scores"].shape
    np.testing.assert_allclose(np.sort(got["scores"]), np.sort(want["scores"]), rtol=0, atol=1e-4)

    # Equal scores may come in another order, and at the cut another of them may be chosen.
    clear = want["scores"] > want["scores"].min() + 1e-3
    apart = np.abs(want["boxes"][clear, None] - got["boxes"][None]).max(axis=2)
    apart[want["labels"][clear, None] != got["labels"][None]] = np.inf
    assert (apart.min(axis=1) < 0.05).all()
