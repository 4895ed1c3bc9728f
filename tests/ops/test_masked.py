"""Masked convolution against a sum over the window at each place of the mask."""

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmcv.ops import MaskedConv2d
from torch import Tensor
from torch.nn import functional

PAIR = st.tuples(st.integers(0, 2), st.integers(0, 2))


def build(kernel: tuple[int, int], padding: tuple[int, int], dtype: torch.dtype) -> MaskedConv2d:
    layer = MaskedConv2d(2, 3, kernel, padding=padding)  # type: ignore[arg-type]  # it pairs ints
    return layer.to(dtype).requires_grad_(False)


def convolve(layer: MaskedConv2d, image: Tensor, mask: Tensor) -> Tensor:
    """Convolve slowly at the places of the mask, zero elsewhere."""
    (high, wide), (down, across) = layer.kernel_size, layer.padding
    padded = functional.pad(image[0], (across, across, down, down))
    out = image.new_zeros(1, 3, padded.shape[1] - high + 1, padded.shape[2] - wide + 1)
    for i, j in mask[0].nonzero().tolist():
        window = padded[:, i : i + high, j : j + wide]
        out[0, :, i, j] = torch.einsum("chw,ochw->o", window, layer.weight) + layer.bias
    return out


@settings(deadline=None, max_examples=30)
@given(
    size=st.tuples(st.integers(1, 5), st.integers(1, 5)),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    padding=PAIR,
    share=st.sampled_from([0.0, 0.5, 1.0]),
)
def test_a_masked_convolution_computes_the_places_of_the_mask_alone(
    device, size, kernel, padding, share
):
    rows, columns = (n + 2 * p - k + 1 for n, p, k in zip(size, padding, kernel, strict=True))
    assume(rows > 0 and columns > 0)
    layer, image = build(kernel, padding, torch.float64), torch.rand(1, 2, *size).double()
    mask = (torch.rand(1, *size) < share).float()
    mask[:, rows:], mask[:, :, columns:] = 0, 0
    want = convolve(layer, image, mask)
    got = layer.to(device)(image.to(device), mask.to(device)).cpu()
    torch.testing.assert_close(got, want)


def test_with_the_whole_mask_it_is_the_plain_convolution(device):
    layer = build((3, 3), (1, 1), torch.float32).to(device)
    image = torch.rand(1, 2, 6, 7, device=device).transpose(2, 3)
    torch.testing.assert_close(layer(image, torch.ones(1, 7, 6, device=device)), layer(image))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision_is_convolved_too(device, dtype):
    layer = build((3, 3), (1, 1), dtype).to(device)
    image = torch.rand(1, 2, 5, 5, device=device, dtype=dtype)
    mask = torch.eye(5, device=device)[None]
    want = convolve(layer.float(), image.float(), mask).to(dtype)
    torch.testing.assert_close(layer.to(dtype)(image, mask), want, rtol=2e-2, atol=2e-2)


def test_features_that_are_no_number_reach_their_own_windows_only(device):
    layer = build((3, 3), (1, 1), torch.float32).to(device)
    image = torch.rand(1, 2, 5, 5, device=device)
    image[0, 0, 0, 0], image[0, 1, 0, 1] = math.nan, math.inf
    out = layer(image, torch.ones(1, 5, 5, device=device))
    assert not out[0, :, :2, :2].isfinite().any()
    assert out[0, :, 2:].isfinite().all()


def test_a_mask_beyond_the_output_is_refused(device):
    layer = build((3, 3), (0, 0), torch.float32).to(device)
    mask = torch.zeros(1, 5, 5, device=device)
    mask[0, 1, 3] = 1
    with pytest.raises(ValueError, match="outside an output of 3x3"):
        layer(torch.rand(1, 2, 5, 5, device=device), mask)
