"""Measure the demo model on held-out pictures: box and mask AP as COCO defines them."""

import argparse
import contextlib
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from pycocotools import mask as rle
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from safetensors.torch import load_file

from demo_model.cache import FOLDER
from demo_model.network import WEIGHTS, build_network, build_pipeline
from demo_model.pictures import HELD_OUT_SEEDS, write

Result = dict[str, Any]


def fill(mask: NDArray[np.bool_], height: int, width: int) -> NDArray[np.bool_]:
    """A mask of the picture's size, (height, width).

    mmdet's may end a row or column before the picture does, and pycocotools lets no mask of
    another size agree with the truth.
    """
    return np.pad(mask, ((0, height - mask.shape[0]), (0, width - mask.shape[1])))


def detect(network: Any, pipeline: Any, path: Path, image_id: int) -> list[Result]:
    """Everything that the network finds in a picture, in COCO's result form."""
    packed = pipeline({"img_path": str(path), "img_id": image_id})
    batch = {"inputs": [packed["inputs"]], "data_samples": [packed["data_samples"]]}
    sample = network.test_step(batch)[0]
    found = sample.pred_instances.numpy()
    corners = found.bboxes
    boxes = np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), 1).tolist()
    return [
        {
            "image_id": image_id,
            "category_id": int(label) + 1,
            "score": float(score),
            "bbox": box,
            "segmentation": rle.encode(np.asfortranarray(fill(mask, *sample.ori_shape), np.uint8)),
        }
        for label, score, box, mask in zip(
            found.labels, found.scores, boxes, found.masks, strict=True
        )
    ]


def score(truth: COCO, results: list[Result], kind: str) -> dict[str, float]:
    """AP over IoU 0.5 to 0.95, AP at 0.5, and AP of each class.

    Args:
        truth: of all pictures.
        results: as `detect` gives them.
        kind: `bbox` or `segm`.
    """
    with contextlib.redirect_stdout(io.StringIO()):
        judge = COCOeval(truth, truth.loadRes(results), kind)
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    precision = judge.eval["precision"][:, :, :, 0, 2]
    names = [category["name"] for category in truth.loadCats(truth.getCatIds())]
    by_class = {name: float(precision[:, :, at].mean()) for at, name in enumerate(names)}
    return {"AP": float(judge.stats[0]), "AP50": float(judge.stats[1]), **by_class}


def find(weights: Path, folder: Path, truth: COCO) -> list[Result]:
    """Run exported weights over all pictures of a truth, which lie in a folder."""
    network = build_network()
    network.load_state_dict(load_file(weights))
    network.eval()
    pipeline = build_pipeline()
    results: list[Result] = []
    with torch.inference_mode():
        for image in truth.loadImgs(truth.getImgIds()):
            results += detect(network, pipeline, folder / image["file_name"], image["id"])
    return results


def evaluate(weights: Path, folder: Path) -> dict[str, dict[str, float]]:
    """Scores of exported weights on a folder of pictures with its `truth.json`, by kind."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(folder / "truth.json"))
    results = find(weights, folder, truth)
    return {kind: score(truth, results, kind) for kind in ("bbox", "segm")}


def main() -> None:
    """Parse the command line, render the held-out set where it is missing, and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    parser.add_argument("--pictures", type=Path, default=FOLDER / "held-out")
    options = parser.parse_args()
    if not (options.pictures / "truth.json").exists():
        write(options.pictures, HELD_OUT_SEEDS)
    print(json.dumps(evaluate(options.weights, options.pictures), indent=2))


if __name__ == "__main__":
    main()
