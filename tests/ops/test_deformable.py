"""Deformable convolution, both versions, against a loop over every tap of every output."""

import math
import subprocess
import sys
from dataclasses import dataclass, field
from itertools import product

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from mmcv.ops import deform_conv2d, modulated_deform_conv2d
from torch import Tensor


@dataclass(frozen=True)
class Case:
    """One call's geometry, and operands of that geometry."""

    images: int = 1
    groups: int = 1
    deform_groups: int = 1
    kernel: tuple[int, int] = (3, 3)
    stride: tuple[int, int] = (1, 1)
    padding: tuple[int, int] = (1, 1)
    dilation: tuple[int, int] = (1, 1)
    size: tuple[int, int] = (5, 6)
    random: torch.Generator = field(default_factory=lambda: torch.Generator().manual_seed(0))

    @property
    def out(self) -> tuple[int, int]:
        """The output's height and width."""
        high, wide = (
            (n + 2 * p - d * (k - 1) - 1) // s + 1
            for n, p, d, k, s in zip(
                self.size, self.padding, self.dilation, self.kernel, self.stride, strict=True
            )
        )
        return high, wide

    @property
    def taps(self) -> int:
        return math.prod(self.kernel)

    def draw(self, *shape: int, spread: float = 1.0) -> Tensor:
        return torch.randn(shape, generator=self.random, dtype=torch.float64) * spread

    def operands(self) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Input, offset, mask, weight and bias."""
        maps = self.deform_groups * self.taps
        return (
            self.draw(self.images, 4, *self.size),
            self.draw(self.images, 2 * maps, *self.out, spread=2.0),
            self.draw(self.images, maps, *self.out),
            self.draw(4, 4 // self.groups, *self.kernel),
            self.draw(4),
        )

    def geometry(self) -> tuple[object, ...]:
        """What follows the operands in mmcv's calls."""
        return self.stride, self.padding, self.dilation, self.groups, self.deform_groups


def interpolate(plane: Tensor, y: float, x: float) -> float:
    """Sample between pixels; every pixel outside is zero."""
    height, width = plane.shape
    if not (math.isfinite(y) and math.isfinite(x)):
        return 0.0
    top, left = math.floor(y), math.floor(x)
    return sum(
        float(plane[row, column]) * (1 - abs(y - row)) * (1 - abs(x - column))
        for row, column in product((top, top + 1), (left, left + 1))
        if 0 <= row < height and 0 <= column < width
    )


def convolve(case: Case, features: Tensor, offset: Tensor, mask: Tensor, weight: Tensor) -> Tensor:
    """Convolve slowly: gather the samples of every tap, then sum by group."""
    columns = torch.zeros(case.images, 4, case.taps, *case.out, dtype=features.dtype)
    shift = offset.reshape(case.images, case.deform_groups, case.taps, 2, *case.out)
    gate = mask.reshape(case.images, case.deform_groups, case.taps, *case.out)
    for b, c, tap, i, j in product(*map(range, columns.shape)):
        g = c // (4 // case.deform_groups)
        row, column = divmod(tap, case.kernel[1])
        y = i * case.stride[0] - case.padding[0] + row * case.dilation[0]
        x = j * case.stride[1] - case.padding[1] + column * case.dilation[1]
        dy, dx = shift[b, g, tap, :, i, j].tolist()
        columns[b, c, tap, i, j] = (
            interpolate(features[b, c], y + dy, x + dx) * gate[b, g, tap, i, j]
        )
    grouped = columns.unflatten(1, (case.groups, -1))
    kernels = weight.flatten(2).unflatten(0, (case.groups, -1))
    return torch.einsum("bgckij,gock->bgoij", grouped, kernels).flatten(1, 2)


PAIR = st.tuples(st.integers(1, 2), st.integers(1, 2))
CASES = st.builds(
    Case,
    images=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    deform_groups=st.sampled_from([1, 2, 4]),
    kernel=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    stride=PAIR,
    padding=st.tuples(st.integers(0, 1), st.integers(0, 1)),
    dilation=PAIR,
    size=st.tuples(st.integers(4, 6), st.integers(4, 6)),
    random=st.integers(0, 99).map(lambda seed: torch.Generator().manual_seed(seed)),
)
SMALL = Case(groups=2, deform_groups=2, kernel=(2, 3), stride=(2, 1), size=(4, 4))


@settings(deadline=None, max_examples=25)
@given(case=CASES)
def test_version_1_equals_the_loop(case):
    assume(min(case.out) > 0)
    features, offset, mask, weight, _ = case.operands()
    got = deform_conv2d(features, offset, weight, *case.geometry())
    torch.testing.assert_close(got, convolve(case, features, offset, torch.ones_like(mask), weight))


@settings(deadline=None, max_examples=25)
@given(case=CASES, biased=st.booleans())
def test_version_2_equals_the_loop(case, biased):
    assume(min(case.out) > 0)
    features, offset, mask, weight, bias = case.operands()
    got = modulated_deform_conv2d(
        features, offset, mask, weight, bias if biased else None, *case.geometry()
    )
    want = convolve(case, features, offset, mask, weight)
    torch.testing.assert_close(got, want + bias[:, None, None] if biased else want)


def test_the_gradients_of_version_1_are_right():
    features, offset, _, weight, _ = (t.requires_grad_() for t in SMALL.operands())
    assert torch.autograd.gradcheck(
        lambda f, o, w: deform_conv2d(f, o, w, *SMALL.geometry()), (features, offset, weight)
    )


def test_the_gradients_of_version_2_are_right():
    operands = tuple(t.requires_grad_() for t in SMALL.operands())
    assert torch.autograd.gradcheck(
        lambda *o: modulated_deform_conv2d(*o, *SMALL.geometry()), operands
    )


@settings(deadline=None, max_examples=20)
@given(case=CASES, more=st.tuples(st.integers(0, 3), st.integers(0, 3)))
def test_larger_maps_are_read_number_by_number_as_dyhead_needs_it(device, case, more):
    assume(min(case.out) > 0)
    features, _, _, weight, _ = case.operands()
    maps = case.deform_groups * case.taps
    size = (case.out[0] + more[0], case.out[1] + more[1])
    both = case.draw(case.images, 3 * maps, *size, spread=2.0)
    offset, mask = both[:, : 2 * maps], both[:, 2 * maps :]  # not contiguous, as one layer gives it
    operands = [t.to(device) for t in (features, offset, mask, weight)]
    got = modulated_deform_conv2d(*operands, None, *case.geometry())
    read = [
        numbers.flatten(1)[:, : count * math.prod(case.out)].reshape(case.images, count, *case.out)
        for numbers, count in ((offset, 2 * maps), (mask, maps))
    ]
    torch.testing.assert_close(got.cpu(), convolve(case, features, *read, weight))


@pytest.mark.filterwarnings("ignore:invalid escape")  # mmdet's, when it is first compiled
def test_dyhead_takes_a_pyramid_of_odd_maps(device):
    from mmdet.models.necks import DyHead

    torch.manual_seed(0)
    neck = DyHead(16, 16, num_blocks=2, zero_init_offset=False).to(device).eval()
    sizes = [(13, 17), (7, 9), (4, 5), (2, 3), (1, 2), (1, 1)]
    with torch.no_grad():
        outputs = neck([torch.rand(2, 16, *size, device=device) for size in sizes])
    assert [tuple(out.shape[2:]) for out in outputs] == sizes
    assert all(out.isfinite().all() for out in outputs)


def test_the_gradients_of_larger_maps_return_to_where_they_were_read():
    case = Case(size=(2, 2))
    features, _, _, weight, bias = (t.requires_grad_() for t in case.operands())
    offset = case.draw(1, 18, 3, 2, spread=0.4).requires_grad_()
    mask = case.draw(1, 9, 3, 2).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda *o: modulated_deform_conv2d(*o, *case.geometry()),
        (features, offset, mask, weight, bias),
    )


def test_channels_last_tensors_give_the_same_output_and_gradients():
    case = Case(images=2)
    plain = [t.requires_grad_() for t in case.operands()]
    last = [
        t.detach().clone(
            memory_format=torch.channels_last if t.ndim == 4 else torch.preserve_format
        )
        for t in plain
    ]
    assert not last[1].is_contiguous()
    outputs = [
        modulated_deform_conv2d(*operands, *case.geometry())
        for operands in (plain, [t.requires_grad_() for t in last])
    ]
    torch.testing.assert_close(*outputs)
    torch.testing.assert_close(
        torch.autograd.grad(outputs[0].square().sum(), plain),
        torch.autograd.grad(outputs[1].square().sum(), last),
    )


def test_smaller_maps_are_refused_not_read_past_their_end():
    case = Case(size=(5, 5))
    features, _, _, weight, _ = case.operands()
    with pytest.raises(ValueError, match="too small for an output of 5x5"):
        modulated_deform_conv2d(
            features, case.draw(1, 18, 4, 4), case.draw(1, 9, 4, 4), weight, None, *case.geometry()
        )


def test_offsets_of_another_size_are_an_error_in_version_1():
    case = Case(size=(5, 5))
    features, _, _, weight, _ = case.operands()
    with pytest.raises(RuntimeError, match="offset"):
        deform_conv2d(features, case.draw(1, 18, 6, 6), weight, *case.geometry())


def test_half_precision_convolves_to_a_hundredth(device):
    features, offset, mask, weight, bias = (t.to(device).half() for t in Case().operands())
    halves = (
        deform_conv2d(features, offset, weight, *Case().geometry()),
        modulated_deform_conv2d(features, offset, mask, weight, bias, *Case().geometry()),
    )
    features, offset, mask, weight, bias = (
        t.float() for t in (features, offset, mask, weight, bias)
    )
    singles = (
        deform_conv2d(features, offset, weight, *Case().geometry()),
        modulated_deform_conv2d(features, offset, mask, weight, bias, *Case().geometry()),
    )
    for half, single in zip(halves, singles, strict=True):
        assert half.dtype == torch.float16
        torch.testing.assert_close(half.float(), single, rtol=1e-2, atol=3e-2)


BROKEN = """
import torch, boxyard_ops
torch.set_num_threads(1)
boxyard_ops.install()
from mmcv.ops import deform_conv2d, modulated_deform_conv2d

features, weight = torch.rand(1, 4, 9, 9), torch.rand(4, 4, 3, 3)
mask = torch.rand(1, 9, 9, 9)
rest = [t.requires_grad_() for t in (features, weight, mask)]

def first(offset):
    return deform_conv2d(features, offset, weight, 1, 1)

def second(offset):
    return modulated_deform_conv2d(features, offset, mask, weight, None, 1, 1)

def differentiate(version, value):
    offset = torch.zeros(1, 18, 9, 9)
    offset[:, 4, 2:5], offset[:, 9] = value, value
    offset.requires_grad_()
    output = version(offset)
    leaves = [offset, *rest[: 3 if version is second else 2]]
    return [output, *torch.autograd.grad(output.square().sum(), leaves)]

for version in first, second:
    outside = differentiate(version, -99.0)
    assert outside[1][:, 0].any() and not outside[1][:, 9].any()
    for value in "nan", "inf", "-inf":
        got = differentiate(version, float(value))
        assert all(map(torch.equal, got, outside)), (version, value)
print("alive")
"""


def test_an_offset_that_is_not_finite_counts_as_outside_and_leaves_the_process_alive():
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BROKEN],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "alive"), done.stderr


def test_the_loop_agrees_that_an_offset_that_is_not_finite_samples_zero():
    case = Case()
    features, offset, mask, weight, _ = case.operands()
    offset[0, 3, 1], offset[0, 8] = math.nan, math.inf
    got = modulated_deform_conv2d(features, offset, mask, weight, None, *case.geometry())
    torch.testing.assert_close(got, convolve(case, features, offset, mask, weight))
