"""Multi-scale deformable attention, by torch's grid sampling.

Shapes: value (B, K, heads, D) with the pixels of all levels one after another, K = sum of H * W;
spatial_shapes (levels, 2) as H, W; sampling_locations (B, Q, heads, levels, points, 2) as x, y with
0..1 spanning a level; attention_weights (B, Q, heads, levels, points). A location that is outside
its level or not finite samples zero. `level_start_index` and `im2col_step` steer mmcv's kernel and
are not used here.
"""

# The argument lists are mmcv's.
# ruff: noqa: PLR0917

import torch
from torch import Tensor
from torch.nn import functional

__all__ = ["ms_deform_attn_backward", "ms_deform_attn_forward"]

OUTSIDE = -1.0
"""A level's width or height away from it; `grid_sample` makes NaN of what is not finite."""


def ms_deform_attn_forward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,
) -> Tensor:
    """Return the weighted sum of the sampled values, (B, Q, heads * D)."""
    placed = sampling_locations.isfinite().all(dim=-1)
    locations = torch.where(placed[..., None], sampling_locations, OUTSIDE)
    weights = torch.where(placed, attention_weights, 0)
    shapes = spatial_shapes.tolist()
    levels = torch.split(value, [height * width for height, width in shapes], dim=1)
    samples = [
        sample(pixels, height, width, locations[:, :, :, level])
        for level, (pixels, (height, width)) in enumerate(zip(levels, shapes, strict=True))
    ]
    return torch.einsum("bhdqlp,bqhlp->bqhd", torch.stack(samples, dim=4), weights).flatten(2)


def sample(pixels: Tensor, height: int, width: int, locations: Tensor) -> Tensor:
    """Sample one level, (B, H * W, heads, D), at (B, Q, heads, points, 2).

    Returns:
        (B, heads, D, Q, points).
    """
    images, _, heads, depth = pixels.shape
    features = pixels.permute(0, 2, 3, 1).reshape(images * heads, depth, height, width)
    grid = 2 * locations.transpose(1, 2).flatten(0, 1) - 1
    sampled = functional.grid_sample(features, grid, align_corners=False)
    return sampled.view(images, heads, *sampled.shape[1:])


def ms_deform_attn_backward(
    value: Tensor,
    spatial_shapes: Tensor,
    level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_locations: Tensor,
    grad_attention_weights: Tensor,
    *,
    im2col_step: int,
) -> None:
    """Add the gradients of values, locations and weights to the `grad_` tensors."""
    inputs = [t.detach().requires_grad_() for t in (value, sampling_locations, attention_weights)]
    with torch.enable_grad():
        output = ms_deform_attn_forward(
            inputs[0],
            spatial_shapes,
            level_start_index,
            inputs[1],
            inputs[2],
            im2col_step=im2col_step,
        )
    gradients = torch.autograd.grad(output, inputs, grad_output)
    grads = (grad_value, grad_sampling_locations, grad_attention_weights)
    for grad, gradient in zip(grads, gradients, strict=True):
        grad.add_(gradient)
