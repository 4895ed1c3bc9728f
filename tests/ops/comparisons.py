"""How far an operator in single precision is from its slow form in double precision."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

Form = Callable[..., Tensor]
STEP = 1e-6
"""How far the slow form is moved for its slope; it is straight, or nearly, over that."""


@dataclass(frozen=True)
class Case:
    """One call of an operator and of its slow form; the first `leaves` tensors have gradients.

    `fast` gets the tensors in single precision where it is measured, `slow` as they are.
    """

    fast: Form
    slow: Form
    tensors: tuple[Tensor, ...]
    leaves: int = 0


@dataclass(frozen=True)
class Difference:
    """The largest difference of numbers, and of slopes; in parts of the slow form's largest."""

    forward: float
    backward: float | None


def compare(case: Case, device: str) -> Difference:
    """Run both forms, and the gradient beside the slow form's slope in a random direction."""
    tensors = [narrow(t).to(device) for t in case.tensors]
    leaves = [t.requires_grad_() for t in tensors[: case.leaves]]
    got, want = case.fast(*tensors), case.slow(*case.tensors)
    forward = differ(got.detach(), want)
    if not leaves:
        return Difference(forward, None)
    weight = torch.randn(want.shape)
    gradients = torch.autograd.grad((got * weight.to(device)).sum(), leaves)
    slopes = [slope(case, place, g.cpu().double(), weight) for place, g in enumerate(gradients)]
    return Difference(forward, max(slopes))


def narrow(tensor: Tensor) -> Tensor:
    return tensor.float() if tensor.is_floating_point() else tensor.clone()


def differ(got: Tensor, want: Tensor) -> float:
    if got.shape != want.shape:
        return float("inf")
    most = want.abs().max().clamp(min=1e-12)
    return float(((got.cpu().double() - want).abs().max() / most).item())


def slope(case: Case, place: int, gradient: Tensor, weight: Tensor) -> float:
    """Compare a gradient with the slow form's slope."""
    direction = torch.randn_like(gradient)
    ends = [
        case.slow(
            *case.tensors[:place],
            case.tensors[place] + sign * STEP * direction,
            *case.tensors[place + 1 :],
        )
        for sign in (1, -1)
    ]
    want = ((ends[0] - ends[1]) * weight).sum() / (2 * STEP)
    return float(((gradient * direction).sum() - want).abs() / (gradient * direction).abs().sum())
