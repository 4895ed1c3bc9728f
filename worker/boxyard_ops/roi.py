"""Pooling of regions: RoIAlign and RoIPool."""

import torch
from torch import Tensor

from boxyard_ops.outside import OUTSIDE
from boxyard_ops.roi_maximum import align_maximum, return_maximum

__all__ = ["roi_align_backward", "roi_align_forward", "roi_pool_backward", "roi_pool_forward"]

KERNELS = torch.ops.torchvision
MAXIMUM = 0


def roi_align_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the average or the maximum of bilinear samples in each bin of each region to `output`.

    Args:
        features: (B, C, H, W).
        rois: (N, 5) as image index, x1, y1, x2, y2 in pixels of the image. A region with a
            coordinate that is not finite pools to zero.
        output: (N, C, aligned_height, aligned_width).
        argmax_y: where the maximum is, in feature pixels, or -1; the shape of `output`. Empty for
            the average.
        argmax_x: likewise.
        aligned_height: bins down a region.
        aligned_width: bins across a region.
        spatial_scale: feature pixels per image pixel.
        sampling_ratio: samples a bin on each axis; 0 takes as many as the bin has pixels.
        pool_mode: 0 for the maximum, 1 for the average.
        aligned: shift by half a pixel, so that samples meet pixel centres.
    """
    if pool_mode == MAXIMUM:
        maxima = align_maximum(
            features,
            rois,
            (aligned_height, aligned_width),
            scale=spatial_scale,
            ratio=sampling_ratio,
            aligned=aligned,
        )
        for tensor, values in zip((output, argmax_y, argmax_x), maxima, strict=True):
            tensor.copy_(values)
        return
    output.copy_(
        KERNELS.roi_align(
            features,
            move_outside(rois),
            spatial_scale,
            aligned_height,
            aligned_width,
            sampling_ratio,
            aligned,
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_features: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Add the gradient of the features, (B, C, H, W), to `grad_features`.

    The other arguments are those of `roi_align_forward`.
    """
    if pool_mode == MAXIMUM:
        return_maximum(grad_output, rois, argmax_y, argmax_x, grad_features)
        return
    grad_features.add_(
        KERNELS._roi_align_backward(
            grad_output,
            move_outside(rois),
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_features.shape,
            sampling_ratio,
            aligned,
        )
    )


def move_outside(rois: Tensor) -> Tensor:
    """Return the regions, those with a coordinate that is not finite as a point outside."""
    finite = rois.isfinite().all(dim=1, keepdim=True)
    images, corners = rois[:, :1].nan_to_num(0, 0, 0), torch.full_like(rois[:, 1:], OUTSIDE)
    outside = torch.cat([images, corners], dim=1)
    return torch.where(finite, rois, outside)


def roi_pool_forward(
    features: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Write the largest feature in each bin of each region to `output`, and its place to `argmax`.

    Args:
        features: (B, C, H, W).
        rois: (N, 5) as image index, x1, y1, x2, y2 in pixels of the image. A region with a
            coordinate that is not finite pools to zero.
        output: (N, C, pooled_height, pooled_width).
        argmax: int32, the shape of `output`; an index into H * W, or -1 in an empty bin.
        pooled_height: bins down a region.
        pooled_width: bins across a region.
        spatial_scale: feature pixels per image pixel.
    """
    pooled, places = KERNELS.roi_pool(
        features, move_outside(rois), spatial_scale, pooled_height, pooled_width
    )
    output.copy_(pooled)
    argmax.copy_(places)


def roi_pool_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax: Tensor,
    grad_features: Tensor,
    *,
    pooled_height: int,
    pooled_width: int,
    spatial_scale: float,
) -> None:
    """Add the gradient of the features, (B, C, H, W), to `grad_features`.

    The other arguments are those of `roi_pool_forward`.
    """
    grad_features.add_(
        KERNELS._roi_pool_backward(
            grad_output,
            move_outside(rois),
            argmax,
            spatial_scale,
            pooled_height,
            pooled_width,
            *grad_features.shape,
        )
    )
