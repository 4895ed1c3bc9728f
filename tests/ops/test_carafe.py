"""CARAFE against a loop over every output pixel and kernel tap."""

import math
from itertools import product

import pytest
import torch
from hypothesis import example, given, settings
from hypothesis import strategies as st
from mmcv import _ext
from mmcv.ops import CARAFE, CARAFENaive, CARAFEPack, carafe
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

FORMS = {"tiled": CARAFE, "naive": CARAFENaive}


def reassemble(features: Tensor, masks: Tensor, kernel: int, groups: int, scale: int) -> Tensor:
    """Upsample slowly."""
    images, channels, height, width = features.shape
    out = features.new_zeros(images, channels, height * scale, width * scale)
    weights = masks.unflatten(1, (groups, kernel, kernel))
    for b, c, i, j, down, right in product(*map(range, (*out.shape, kernel, kernel))):
        row, column = i // scale + down - kernel // 2, j // scale + right - kernel // 2
        if 0 <= row < height and 0 <= column < width:
            group = c // (channels // groups)
            out[b, c, i, j] += features[b, c, row, column] * weights[b, group, down, right, i, j]
    return out


def draw(images: int, channels: int, size: tuple[int, int], taps: int, scale: int):
    """Draw features and masks in double precision."""
    return (
        torch.randn(images, channels, *size, dtype=torch.float64),
        torch.randn(images, taps, size[0] * scale, size[1] * scale, dtype=torch.float64),
    )


@settings(deadline=None, max_examples=20)
@given(
    images=st.integers(1, 2),
    per_group=st.sampled_from([1, 2, 17]),
    groups=st.integers(1, 2),
    size=st.tuples(st.integers(1, 3), st.integers(1, 4)),
    kernel=st.sampled_from([1, 3, 5]),
    scale=st.integers(1, 3),
    form=st.sampled_from(sorted(FORMS)),
)
@example(images=1, per_group=1, groups=1, size=(2, 1), kernel=7, scale=1, form="tiled")
def test_carafe_equals_the_loop(device, images, per_group, size, form, **how):
    kernel, groups, scale = how["kernel"], how["groups"], how["scale"]
    features, masks = draw(images, per_group * groups, size, kernel * kernel * groups, scale)
    got = FORMS[form](kernel, groups, scale)(features.to(device), masks.to(device))
    torch.testing.assert_close(got.cpu(), reassemble(features, masks, kernel, groups, scale))


@pytest.mark.parametrize("scale", [1, 2])
def test_the_gradients_of_carafe_are_right(device, scale):
    features, masks = (t.to(device).requires_grad_() for t in draw(1, 4, (2, 2), 18, scale))
    assert torch.autograd.gradcheck(lambda f, m: carafe(f, m, 3, 2, scale), (features, masks))


def test_the_naive_form_has_the_gradients_of_the_tiled_one():
    features, masks = (t.requires_grad_() for t in draw(2, 4, (3, 2), 18, 2))
    output = carafe(features, masks, 3, 2, 2)
    grad = torch.randn_like(output)
    grads = torch.zeros_like(features), torch.zeros_like(masks)
    # mmcv's own class refuses this on the CPU.
    _ext.carafe_naive_backward(
        grad, features.detach(), masks.detach(), *grads, kernel_size=3, group_size=2, scale_factor=2
    )
    assert all(map(torch.equal, grads, torch.autograd.grad(output, (features, masks), grad)))


def test_channels_last_tensors_give_the_same_output_and_gradients(device):
    plain = [t.to(device) for t in draw(2, 20, (4, 3), 9, 2)]
    last = [t.clone(memory_format=torch.channels_last) for t in plain]
    assert not last[0].is_contiguous()
    both = []
    for leaves in (plain, last):
        output = carafe(*(t.requires_grad_() for t in leaves), 3, 1, 2)
        both.append((output, *torch.autograd.grad(output.square().sum(), leaves)))
    torch.testing.assert_close(*both)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_what_is_not_finite_stays_where_it_is(device, value):
    features, masks = (t.to(device) for t in draw(1, 2, (5, 5), 9, 2))
    masks = masks.sigmoid()
    clean = carafe(features, masks, 3, 1, 2)
    features[0, 0, 0, 0] = value
    got = carafe(features, masks, 3, 1, 2)
    reached = torch.zeros_like(got, dtype=torch.bool)
    reached[0, 0, :4, :4] = True
    assert torch.equal(~got.isfinite(), reached)
    assert torch.equal(got[~reached], clean[~reached])


def test_a_kernel_weight_outside_the_map_does_not_count_whatever_it_is(device):
    features, masks = (t.to(device) for t in draw(1, 1, (2, 2), 9, 1))
    clean = carafe(features, masks, 3, 1, 1)
    masks[0, 0, 0, 0] = math.nan  # up and left of the corner
    assert torch.equal(carafe(features, masks, 3, 1, 1), clean)


def test_half_precision_upsamples_to_a_thousandth(device):
    pack = CARAFEPack(channels=32, scale_factor=2).to(device)
    features = torch.rand(1, 32, 6, 7, device=device)
    with torch.no_grad():
        exact, half = pack(features), pack.half()(features.half())
    assert half.dtype == torch.float16
    torch.testing.assert_close(half.float(), exact, rtol=2e-3, atol=2e-3)


class Sizes(TorchDispatchMode):
    """Notes how many bytes each result of torch holds."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[int] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        if isinstance(result, Tensor):
            self.seen.append(result.untyped_storage().nbytes())
        return result


def test_a_large_map_is_never_unfolded(device):
    features = torch.rand(1, 64, 16, 24, device=device)
    masks = torch.rand(1, 25, 32, 48, device=device)
    with Sizes() as sizes:
        output = carafe(features, masks, 5, 1, 2)
    assert max(sizes.seen) == output.nbytes  # all taps at once would be 25 outputs
