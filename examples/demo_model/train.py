"""Train the demo model from nothing. Stopped at any point, the same command goes on."""

import argparse
import copy
import math
import os
import time
from collections.abc import Iterator
from itertools import chain
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import nn

from demo_model.augment import augment
from demo_model.cache import FOLDER, Cache, open_cache
from demo_model.network import build_network, pack

SEED = 20
BATCH = 16
STEPS = 2900
WARM_UP = 150
PEAK_RATE = 1.5e-3
DECAY = 0.05
EMA = 0.998
CLIP = 10.0
SAVE_EVERY = 100


def rate(step: int, steps: int) -> float:
    """The learning rate at a step: a straight warm-up, then a cosine down to 2 %."""
    if step < WARM_UP:
        return PEAK_RATE * (step + 1) / WARM_UP
    done = (step - WARM_UP) / max(steps - WARM_UP, 1)
    return PEAK_RATE * (0.02 + 0.98 * (1 + math.cos(math.pi * done)) / 2)


def make_optimiser(network: nn.Module) -> torch.optim.AdamW:
    """AdamW that lets weights of convolutions decay, but neither biases nor norms."""
    matrices = [value for value in network.parameters() if value.ndim > 1]
    vectors = [value for value in network.parameters() if value.ndim <= 1]
    groups = [
        {"params": matrices, "weight_decay": DECAY},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=PEAK_RATE)


class Run:
    """Everything that a training run must remember to go on after a stop."""

    def __init__(self, path: Path) -> None:
        torch.manual_seed(SEED)
        self.path = path
        self.step = 0
        self.network: Any = build_network().to(memory_format=torch.channels_last)
        self.average: Any = copy.deepcopy(self.network).eval()
        self.optimiser = make_optimiser(self.network)
        if path.exists():
            self._restore(torch.load(path, weights_only=True))

    def _restore(self, saved: dict[str, Any]) -> None:
        self.step = saved["step"]
        self.network.load_state_dict(saved["network"])
        self.average.load_state_dict(saved["average"])
        self.optimiser.load_state_dict(saved["optimiser"])

    def save(self) -> None:
        """Write the checkpoint so that a stop in the middle keeps the last one."""
        state = {
            "step": self.step,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
        }
        fresh = self.path.with_suffix(".new")
        torch.save(state, fresh)
        os.replace(fresh, self.path)

    def learn(
        self, pixels: list[torch.Tensor], samples: list[Any], rate: float
    ) -> dict[str, float]:
        """Take one step on a batch and return its losses by name."""
        for group in self.optimiser.param_groups:
            group["lr"] = rate
        total, named = self.network.parse_losses(self._losses(pixels, samples))
        self.optimiser.zero_grad(set_to_none=True)
        total.backward()
        nn.utils.clip_grad_norm_(self.network.parameters(), CLIP)
        self.optimiser.step()
        self.step += 1
        self._blend()
        return {name: float(value.detach()) for name, value in named.items()}

    def _losses(self, pixels: list[torch.Tensor], samples: list[Any]) -> dict[str, Any]:
        """The network in bfloat16, which is a quarter faster on a CPU; the losses in float32."""
        batch = self.network.data_preprocessor({"inputs": pixels, "data_samples": samples}, True)
        inputs = batch["inputs"].contiguous(memory_format=torch.channels_last)
        head = self.network.bbox_head
        with torch.autocast("cpu", torch.bfloat16):
            *levels, mask_feature = head(self.network.extract_feat(inputs))
        outputs = [[level.float() for level in kind] for kind in levels]
        truths = [sample.gt_instances for sample in batch["data_samples"]]
        metas = [sample.metainfo for sample in batch["data_samples"]]
        losses: dict[str, Any] = head.loss_by_feat(*outputs, mask_feature.float(), truths, metas)
        return losses

    @torch.no_grad()
    def _blend(self) -> None:
        keep = min(EMA, (1 + self.step) / (10 + self.step))
        for old, new in zip(_tensors(self.average), _tensors(self.network), strict=True):
            if old.dtype.is_floating_point:
                old.lerp_(new, 1 - keep)
            else:
                old.copy_(new)


def _tensors(network: nn.Module) -> Iterator[torch.Tensor]:
    """Parameters and buffers, those that levels of the head share only once."""
    return chain(network.parameters(), network.buffers())


def draw_batch(cache: Cache, step: int) -> tuple[list[torch.Tensor], list[Any]]:
    """The batch of a step: every picture once an epoch, in an order that the seed gives."""
    epoch, at = divmod(step, len(cache) // BATCH)
    order = np.random.default_rng((SEED, epoch)).permutation(len(cache))
    rng = np.random.default_rng((SEED, epoch, step))
    chosen = order[at * BATCH : (at + 1) * BATCH]
    examples = [augment(rng, *cache.read(int(index))) for index in chosen]
    pixels, samples = zip(*map(pack, examples), strict=True)
    return list(pixels), list(samples)


def train(run: Run, cache: Cache, steps: int) -> None:
    """Learn up to a number of steps, with a line of losses every twenty."""
    run.network.train()
    began, first = time.monotonic(), run.step
    while run.step < steps:
        losses = run.learn(*draw_batch(cache, run.step), rate(run.step, steps))
        if run.step % 20 == 0:
            pace = (time.monotonic() - began) / (run.step - first)
            words = " ".join(f"{name} {value:.3f}" for name, value in losses.items())
            print(f"step {run.step}/{steps} {pace:.2f} s/step {words}", flush=True)
        if run.step % SAVE_EVERY == 0 or run.step == steps:
            run.save()


def main() -> None:
    """Parse the command line and train."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=STEPS)
    parser.add_argument("--checkpoint", type=Path, default=FOLDER / "checkpoint.pt")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    cache = open_cache()
    options.checkpoint.parent.mkdir(parents=True, exist_ok=True)
    train(Run(options.checkpoint), cache, options.steps)


if __name__ == "__main__":
    main()
