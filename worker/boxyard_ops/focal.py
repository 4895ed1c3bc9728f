"""The sigmoid focal loss, which mmdet calls by this way on CUDA.

Shapes: input (N, C) logits; target (N,) class indices, C for the background; weight (C,) by the
target's class, or empty; the background weighs 1.
"""

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["sigmoid_focal_loss_backward", "sigmoid_focal_loss_forward"]


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the loss of each logit to `output`, (N, C)."""
    p, q = input.sigmoid(), (-input).sigmoid()
    positive = -alpha * q**gamma * functional.logsigmoid(input)
    negative = (alpha - 1) * p**gamma * functional.logsigmoid(-input)
    output.copy_(choose(positive, negative, target, weight))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the derivative of each logit's own loss to `grad_input`, (N, C)."""
    p, q = input.sigmoid(), (-input).sigmoid()
    positive = -alpha * q**gamma * (q - gamma * p * functional.logsigmoid(input))
    negative = (alpha - 1) * p**gamma * (gamma * q * functional.logsigmoid(-input) - p)
    grad_input.copy_(choose(positive, negative, target, weight))


def choose(positive: Tensor, negative: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    """Return, times the class weight, `positive` where a column is the target, else `negative`."""
    classes = torch.arange(positive.shape[1], device=target.device)
    chosen = torch.where(target[:, None] == classes, positive, negative)
    if not weight.numel():
        return chosen
    return chosen * torch.cat([weight, weight.new_ones(1)])[target][:, None]
