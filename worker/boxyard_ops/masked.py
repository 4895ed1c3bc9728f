"""Masked convolution: the kernel's windows at some places only, and the results back to them.

Shapes: image (1, C, H, W); mask_h_idx and mask_w_idx (M,), rows and columns; columns
(C * kernel_h * kernel_w, M) on the way in, (O, M) on the way out.
"""

from torch import Tensor
from torch.nn import functional

__all__ = ["masked_col2im_forward", "masked_im2col_forward"]


def masked_im2col_forward(
    image: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    columns: Tensor,
    *,
    kernel_h: int,
    kernel_w: int,
    pad_h: int,
    pad_w: int,
) -> None:
    """Write what the kernel sees at each place of the mask to `columns`; zero outside the image."""
    # A place may be nearer to the last edge than the padding allows for: there are zeros too.
    after_h, after_w = max(kernel_h - 1 - pad_h, 0), max(kernel_w - 1 - pad_w, 0)
    padded = functional.pad(image[0], (pad_w, after_w, pad_h, after_h))
    windows = padded.unfold(1, kernel_h, 1).unfold(2, kernel_w, 1)
    seen = windows[:, mask_h_idx, mask_w_idx]
    columns.copy_(seen.permute(0, 2, 3, 1).reshape(columns.shape))


def masked_col2im_forward(
    columns: Tensor,
    mask_h_idx: Tensor,
    mask_w_idx: Tensor,
    image: Tensor,
    *,
    height: int,
    width: int,
    channels: int,
) -> None:
    """Write each column to its place in `image`, (1, channels, height, width).

    Raises:
        ValueError: when a place of the mask is outside the image; mmcv writes elsewhere then.
    """
    if (mask_h_idx >= height).any() or (mask_w_idx >= width).any():
        raise ValueError(
            f"the mask has places outside an output of {height}x{width}: "
            "pad the convolution so that its output is as large as its input"
        )
    image[0, :, mask_h_idx, mask_w_idx] = columns
