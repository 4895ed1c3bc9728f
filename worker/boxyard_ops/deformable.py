"""Deformable convolution: version 1 (offsets) and version 2 (offsets and a mask, "modulated").

Each kernel tap samples the input between pixels, at its own place plus an offset in pixels. A
sample outside the input, or whose offset is not finite, is zero and has no gradient.

Shapes: input (B, C, H, W); weight (O, C / group, kH, kW); offset (B, 2 * deformable_group * kH *
kW, H', W') with y before x for each tap; mask (B, deformable_group * kH * kW, H', W'); output
(B, O, H', W'). `columns` and `ones` are scratch space of mmcv's kernels and not used here.
"""

# The argument lists are mmcv's.
# ruff: noqa: PLR0917

import torch
from torch import Tensor

from boxyard_ops.outside import OUTSIDE

__all__ = [
    "deform_conv_backward_input",
    "deform_conv_backward_parameters",
    "deform_conv_forward",
    "modulated_deform_conv_backward",
    "modulated_deform_conv_forward",
]

KERNELS = torch.ops.torchvision
# mmcv's names for what torchvision takes by place: stride, padding, dilation, groups.
GEOMETRY_1 = ("dH", "dW", "padH", "padW", "dilationH", "dilationW", "group", "deformable_group")
GEOMETRY_2 = (
    *("stride_h", "stride_w", "pad_h", "pad_w", "dilation_h", "dilation_w"),
    *("group", "deformable_group"),
)
UNMODULATED = False
MODULATED = True


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **call: int,
) -> None:
    """Write the convolution, version 1, to `output`.

    Raises:
        RuntimeError: when the shapes do not fit each other.
    """
    no_mask, no_bias = input.new_empty(len(input), 1), weight.new_zeros(len(weight))
    operands = (input, weight, move_outside(offset), no_mask, no_bias)
    output.copy_(KERNELS.deform_conv2d(*operands, *pick(call, GEOMETRY_1), UNMODULATED))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **call: int,
) -> None:
    """Add the gradients of the input and the offset to `grad_input` and `grad_offset`."""
    by_input, _, by_offset = differentiate(grad_output, input, weight, offset, call)
    grad_input.add_(by_input)
    grad_offset.add_(by_offset)


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **call: int,
) -> None:
    """Add the gradient of the weight, times `scale`, to `grad_weight`."""
    # The gradient of the weight does not depend on the weight: its shape is enough.
    _, by_weight, _ = differentiate(grad_output, input, grad_weight, offset, call)
    grad_weight.add_(by_weight, alpha=scale)


def differentiate(
    grad_output: Tensor, input: Tensor, weight: Tensor, offset: Tensor, call: dict[str, int]
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the gradients of input, weight and offset, version 1."""
    no_mask, no_bias = input.new_empty(len(input), 1), weight.new_zeros(len(weight))
    operands = (grad_output, input, weight, move_outside(offset), no_mask, no_bias)
    gradients = KERNELS._deform_conv2d_backward(*operands, *pick(call, GEOMETRY_1), UNMODULATED)
    return gradients[0], gradients[1], gradients[2]


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **call: int,
) -> None:
    """Write the convolution, version 2, plus `bias` (O,) where there is one, to `output`.

    Raises:
        RuntimeError: when the shapes do not fit each other.
        ValueError: when `offset` or `mask` is too small for the output, see `read_as`.
    """
    bias = bias if with_bias else weight.new_zeros(len(weight))
    offset, mask = read_as(offset, output), read_as(mask, output)
    operands = (input, weight, move_outside(offset), mask, bias)
    output.copy_(KERNELS.deform_conv2d(*operands, *pick(call, GEOMETRY_2), MODULATED))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **call: int,
) -> None:
    """Add the gradients of all operands, version 2, to the `grad_` tensors.

    Raises:
        ValueError: when `offset` or `mask` is too small for the output, see `read_as`.
    """
    bias = bias if with_bias else weight.new_zeros(len(weight))
    offset, mask = read_as(offset, grad_output), read_as(mask, grad_output)
    operands = (grad_output, input, weight, move_outside(offset), mask, bias)
    by_input, by_weight, by_offset, by_mask, by_bias = KERNELS._deform_conv2d_backward(
        *operands, *pick(call, GEOMETRY_2), MODULATED
    )
    grad_input.add_(by_input)
    grad_weight.add_(by_weight)
    add_where_read(grad_offset, by_offset)
    add_where_read(grad_mask, by_mask)
    if with_bias:
        grad_bias.add_(by_bias)


def pick(call: dict[str, int], names: tuple[str, ...]) -> list[int]:
    """Return the arguments in the order of `names`; the others say what the shapes say too."""
    return [call[name] for name in names]


def move_outside(offset: Tensor) -> Tensor:
    """Return the offsets, those that are not finite so far away that their sample is outside."""
    return offset.nan_to_num(nan=OUTSIDE, posinf=OUTSIDE, neginf=OUTSIDE)


def read_as(maps: Tensor, output: Tensor) -> Tensor:
    """Return the start of each image's `maps` (B, K, H, W) as (B, K, H', W'), sized as `output`.

    mmcv's kernels read the numbers of an image one after another with the strides of the output.
    DyHead hands them maps of a larger level, and the published weights were trained with that.

    Raises:
        ValueError: when `maps` holds fewer numbers than are read; mmcv reads past the end.
    """
    images, channels = maps.shape[:2]
    height, width = output.shape[2:]
    numbers, read = maps.flatten(1), channels * height * width
    if numbers.shape[1] < read:
        raise ValueError(
            f"offset or mask of {tuple(maps.shape)} is too small for an output of "
            f"{height}x{width}: compute it from a feature map that is at least as large"
        )
    return numbers[:, :read].reshape(images, channels, height, width)


def add_where_read(grad_maps: Tensor, gradient: Tensor) -> None:
    """Add a gradient (B, K, H', W') to the numbers of `grad_maps` (B, K, H, W) it belongs to."""
    numbers = gradient.new_zeros(grad_maps.shape).flatten(1)
    numbers[:, : gradient[0].numel()] = gradient.flatten(1)
    grad_maps.add_(numbers.view(grad_maps.shape))
