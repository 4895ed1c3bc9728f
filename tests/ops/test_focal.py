"""The sigmoid focal loss against its definition, logit by logit."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from mmcv.ops import sigmoid_focal_loss

LOGIT = st.floats(-6, 6)


def lose(logit: float, positive: bool, gamma: float, alpha: float) -> float:
    """The loss of one logit."""
    p = 1 / (1 + math.exp(-logit))
    if positive:
        return -alpha * (1 - p) ** gamma * math.log(p)
    return -(1 - alpha) * p**gamma * math.log(1 - p)


@settings(deadline=None)
@given(
    logits=st.lists(st.lists(LOGIT, min_size=3, max_size=3), min_size=1, max_size=4),
    gamma=st.sampled_from([0.0, 1.5, 2.0]),
    alpha=st.sampled_from([0.25, 0.6]),
    weighted=st.booleans(),
)
def test_the_loss_equals_its_definition(logits, gamma, alpha, weighted):
    targets = [row % 4 for row in range(len(logits))]
    weights = [0.5, 2.0, 3.0]
    got = sigmoid_focal_loss(
        torch.tensor(logits, dtype=torch.float64),
        torch.tensor(targets),
        gamma,
        alpha,
        torch.tensor(weights, dtype=torch.float64) if weighted else None,
        "none",
    )
    want = [
        [
            lose(x, c == t, gamma, alpha) * ([*weights, 1][t] if weighted else 1)
            for c, x in enumerate(row)
        ]
        for row, t in zip(logits, targets, strict=True)
    ]
    torch.testing.assert_close(got, torch.tensor(want, dtype=torch.float64))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("reduction", ["mean", "sum"])
def test_the_gradient_is_right(weighted, reduction):
    logits = torch.randn(5, 4, dtype=torch.float64, requires_grad=True)
    weight = torch.rand(4, dtype=torch.float64) if weighted else None
    target = torch.tensor([0, 3, 4, 1, 4])
    assert torch.autograd.gradcheck(
        lambda x: sigmoid_focal_loss(x, target, 2.0, 0.25, weight, reduction), (logits,)
    )


def test_extreme_logits_lose_finitely():
    logits = torch.tensor([[200.0, -200.0], [-200.0, 200.0]], requires_grad=True)
    loss = sigmoid_focal_loss(logits, torch.tensor([0, 0]), 2.0, 0.25, None, "sum")
    loss.backward()
    assert loss.isfinite()
    assert logits.grad is not None
    assert logits.grad.isfinite().all()
