"""Writes the table of operators into docs/operators.md: `python -m ops.table PAGE`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import torch

import boxyard_ops

torch.set_num_threads(1)
boxyard_ops.install()

from ops import cases  # noqa: E402  # it imports mmcv.ops
from ops.comparisons import Case, Difference, compare  # noqa: E402

BEGIN, END = "<!-- make operators: begin -->\n", "<!-- make operators: end -->\n"
SEEDS = 5
NONE = "none"


@dataclass(frozen=True)
class Operator:
    """A row: what it is, its functions in `mmcv._ext`, by what it runs, and what is measured."""

    title: str
    functions: tuple[str, ...]
    kernel: str
    case: Callable[[], Case] | None
    devices: str = "CPU, CUDA"


def both(name: str) -> tuple[str, str]:
    return f"{name}_forward", f"{name}_backward"


OPERATORS = (
    Operator("`nms`, and through it `batched_nms`", ("nms",), "torchvision", cases.suppress),
    Operator(
        "soft NMS: naive, linear, Gaussian",
        ("softnms",),
        "numpy",
        cases.suppress_softly,
        "CPU (from CUDA and back)",
    ),
    Operator("`nms_match`", ("nms_match",), "numpy", cases.match, "CPU (from CUDA and back)"),
    Operator("RoIAlign, average", both("roi_align"), "torchvision", cases.align("avg")),
    Operator("RoIAlign, maximum", both("roi_align"), "torch", cases.align("max")),
    Operator("RoIPool", both("roi_pool"), "torchvision", cases.pool),
    Operator(
        "deformable RoI pooling, plain and modulated",
        both("deform_roi_pool"),
        "`grid_sample`",
        cases.pool_deformed,
    ),
    Operator("border pooling", both("border_align"), "torch", cases.align_borders),
    Operator(
        "deformable convolution 1, grouped, strided, dilated",
        ("deform_conv_forward", "deform_conv_backward_input", "deform_conv_backward_parameters"),
        "torchvision",
        cases.convolve,
    ),
    Operator(
        "deformable convolution 2 (modulated), likewise",
        both("modulated_deform_conv"),
        "torchvision",
        cases.convolve_modulated,
    ),
    Operator(
        "masked convolution",
        ("masked_im2col_forward", "masked_col2im_forward"),
        "torch",
        cases.convolve_masked,
    ),
    Operator("CARAFE", both("carafe") + both("carafe_naive"), "torch", cases.upsample),
    Operator(
        "multi-scale deformable attention", both("ms_deform_attn"), "`grid_sample`", cases.attend
    ),
    Operator("sigmoid focal loss", both("sigmoid_focal_loss"), "torch", cases.lose),
    Operator(
        "what mmcv's environment report asks",
        ("get_compiler_version", "get_compiling_cuda_version"),
        NONE,
        None,
        NONE,
    ),
)


def main(page: Path) -> None:
    page.write_text(insert(page.read_text(), "".join(f"{line}\n" for line in write())))


def insert(page: str, table: str) -> str:
    """Return the page with the table between its markers."""
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"the page has no lines {BEGIN!r} and {END!r}")
    return f"{before}{begin}{table}{end}{after}"


def write() -> Iterator[str]:
    """Yield the lines of the table, measured on each device that there is."""
    devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    heads = ["operator", "functions of `mmcv._ext`", "by", "devices"]
    heads += [f"largest difference, {device}: forward, backward" for device in devices]
    yield f"| {' | '.join(heads)} |"
    yield "|---" * len(heads) + "|"
    for operator in OPERATORS:
        functions = ", ".join(f"`{name}`" for name in operator.functions)
        cells = [operator.title, functions, operator.kernel, operator.devices]
        cells += [tell(measure(operator, device)) for device in devices]
        yield f"| {' | '.join(cells)} |"


def measure(operator: Operator, device: str) -> Difference | None:
    """Return the largest differences over the seeded cases; nothing where there are no numbers."""
    if not operator.case:
        return None
    found = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        found.append(compare(operator.case(), device))
    slopes = [difference.backward for difference in found if difference.backward is not None]
    return Difference(max(one.forward for one in found), max(slopes, default=None))


def tell(difference: Difference | None) -> str:
    if difference is None:
        return NONE
    parts = (difference.forward, difference.backward)
    return ", ".join(NONE if part is None else f"{part:.0e}" if part else "0" for part in parts)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
