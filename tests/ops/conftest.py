"""The operators' tests call them as mmcv does: through `mmcv.ops`, after `install()`."""

import torch

import boxyard_ops

torch.set_num_threads(1)
boxyard_ops.install()
