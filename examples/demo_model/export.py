"""Turn a training checkpoint into the weights that the worker loads."""

import argparse
import hashlib
import json
from pathlib import Path

import torch
from safetensors.torch import save_file

from demo_model.cache import FOLDER
from demo_model.network import WEIGHTS
from demo_model.render import CLASSES


def export(checkpoint: Path, weights: Path) -> str:
    """Write the averaged weights and return the file's sha256.

    Matrices are stored in half precision, which halves the file; the model card's figures are of
    these. Levels of the head that share a convolution each get a copy, as in mmdet's own files.
    """
    saved = torch.load(checkpoint, weights_only=True)
    tensors = {
        name: (value.half() if value.ndim > 1 else value).contiguous().clone()
        for name, value in saved["average"].items()
    }
    notes = {"format": "pt", "step": str(saved["step"]), "classes": json.dumps(CLASSES)}
    save_file(tensors, weights, notes)
    return hashlib.sha256(weights.read_bytes()).hexdigest()


def main() -> None:
    """Parse the command line and export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, default=FOLDER / "checkpoint.pt")
    parser.add_argument("--weights", type=Path, default=WEIGHTS)
    options = parser.parse_args()
    print(export(options.checkpoint, options.weights), options.weights.stat().st_size, "bytes")


if __name__ == "__main__":
    main()
