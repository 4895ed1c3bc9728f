"""What is measured of each operator: a call through mmcv, beside the slow form of its test.

The slow forms compute in double precision, but for the suppressions, which round as mmcv's loops.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from mmcv import ops as mmcv_ops
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

from ops import (
    test_attention,
    test_border,
    test_carafe,
    test_deformable,
    test_deformable_roi,
    test_focal,
    test_masked,
    test_nms,
    test_roi,
    test_soft_nms,
)
from ops.comparisons import Case

GEOMETRY = {"groups": 2, "deform_groups": 2, "kernel": (3, 2), "stride": (2, 1), "size": (7, 6)}


def draw(*shape: int) -> Tensor:
    """Draw numbers that are the same in single and in double precision."""
    return torch.randn(shape).double()


def draw_boxes(count: int, side: float) -> Tensor:
    """Draw boxes (count, 4) in a square and up to half of it beyond, as x1, y1, x2, y2."""
    corners = torch.rand(count, 2, 2).sort(dim=1).values.flatten(1)
    return (corners * 1.5 * side - side / 4).double()


def draw_regions(count: int, side: float) -> Tensor:
    images = torch.arange(count).double() % 2
    return torch.cat([images[:, None], draw_boxes(count, side)], dim=1)


def attend() -> Case:
    value, spatial, starts, places, weights = test_attention.draw(
        [(4, 3), (2, 3)], images=2, heads=2, queries=3, points=2
    )

    def fast(v: Tensor, p: Tensor, w: Tensor, s: Tensor, b: Tensor) -> Tensor:
        output: Tensor = MultiScaleDeformableAttnFunction.apply(v, s, b, p, w, 64)
        return output

    return Case(
        fast,
        lambda v, p, w, s, b: test_attention.attend(v, s, b, p, w),
        (*(t.float().double() for t in (value, places, weights)), spatial, starts),
        leaves=3,
    )


def align(mode: str) -> Callable[[], Case]:
    how = {"scale": 0.5, "ratio": 0, "aligned": True}

    def case() -> Case:
        return Case(
            lambda f, r: mmcv_ops.roi_align(f, r, (3, 3), 0.5, 0, mode, True),
            lambda f, r: torch.stack(
                [test_roi.align(f, roi, mode=mode, size=3, **how) for roi in r]
            ),
            (draw(2, 2, 8, 9), draw_regions(4, 16)),
            leaves=1,
        )

    return case


def pool() -> Case:
    return Case(
        lambda f, r: mmcv_ops.roi_pool(f, r, (3, 3), 0.5),
        lambda f, r: torch.stack([test_roi.pool(f, roi, 3, 0.5) for roi in r]),
        (draw(2, 2, 8, 9), draw_regions(4, 16)),
        leaves=1,
    )


def pool_deformed() -> Case:
    how = {"scale": 0.5, "ratio": 0, "gamma": 0.1}
    return Case(
        lambda f, o, r: mmcv_ops.deform_roi_pool(f, r, o, (3, 3), 0.5, 0, 0.1),
        lambda f, o, r: torch.stack(
            [test_deformable_roi.pool(f, *one, **how) for one in zip(r, o, strict=True)]
        ),
        (draw(2, 2, 8, 9), draw(4, 2, 3, 3), draw_regions(4, 16)),
        leaves=2,
    )


def align_borders() -> Case:
    return Case(
        lambda f, b: mmcv_ops.border_align(f, b, 4),
        lambda f, b: test_border.pool(f, b, 4),
        (draw(2, 8, 7, 9), torch.stack([draw_boxes(3, 8), draw_boxes(3, 8)])),
        leaves=1,
    )


def convolve() -> Case:
    case = test_deformable.Case(images=2, **GEOMETRY)
    features, offset, mask, weight, _ = (t.float().double() for t in case.operands())
    return Case(
        lambda f, o, w: mmcv_ops.deform_conv2d(f, o, w, *case.geometry()),
        lambda f, o, w: test_deformable.convolve(case, f, o, torch.ones_like(mask), w),
        (features, offset, weight),
        leaves=3,
    )


def convolve_modulated() -> Case:
    case = test_deformable.Case(images=2, **GEOMETRY)
    return Case(
        lambda f, o, m, w, b: mmcv_ops.modulated_deform_conv2d(f, o, m, w, b, *case.geometry()),
        lambda f, o, m, w, b: test_deformable.convolve(case, f, o, m, w) + b[:, None, None],
        tuple(t.float().double() for t in case.operands()),
        leaves=5,
    )


def convolve_masked() -> Case:
    layer = test_masked.build((3, 3), (1, 1), torch.float32)
    return Case(
        lambda f, m: layer.float().to(f.device)(f, m),
        lambda f, m: test_masked.convolve(layer.double().cpu(), f, m),
        (draw(1, 2, 6, 7), (torch.rand(1, 6, 7) < 0.5).double()),
    )


def upsample() -> Case:
    return Case(
        lambda f, m: mmcv_ops.carafe(f, m, 5, 2, 2),
        lambda f, m: test_carafe.reassemble(f, m, 5, 2, 2),
        (draw(1, 4, 3, 4), draw(1, 50, 6, 8)),
        leaves=2,
    )


def lose() -> Case:
    def slow(logits: Tensor, targets: Tensor) -> Tensor:
        rows = zip(logits.tolist(), targets.tolist(), strict=True)
        return torch.tensor(
            [[test_focal.lose(x, c == t, 2.0, 0.25) for c, x in enumerate(row)] for row, t in rows],
            dtype=torch.float64,
        )

    return Case(
        lambda x, t: mmcv_ops.sigmoid_focal_loss(x, t, 2.0, 0.25, None, "none"),
        slow,
        (draw(6, 4), torch.arange(6) % 5),
        leaves=1,
    )


def suppress() -> Case:
    def slow(boxes: Tensor, scores: Tensor) -> Tensor:
        order = scores.argsort(descending=True)
        return order[test_nms.suppress(boxes[order].float().numpy(), 0.5, 0)].double()

    return Case(
        lambda b, s: mmcv_ops.nms(b, s, 0.5)[1].double(),
        slow,
        (draw_boxes(60, 90), torch.rand(60).double()),
    )


def suppress_softly() -> Case:
    how = {"threshold": 0.3, "sigma": 0.5, "least": 0.05, "method": "gaussian", "offset": 0}

    def fast(boxes: Tensor, scores: Tensor) -> Tensor:
        dets, kept = mmcv_ops.soft_nms(boxes, scores, 0.3, 0.5, 0.05, "gaussian")
        return torch.stack([dets[:, 4], kept.float()])

    def slow(boxes: Tensor, scores: Tensor) -> Tensor:
        dets = torch.cat([boxes, scores[:, None]], dim=1).float().numpy()
        rows = [(float(score), index) for index, score in test_soft_nms.soften(dets, **how)]
        return torch.tensor(rows, dtype=torch.float64).T

    return Case(fast, slow, (draw_boxes(60, 90), torch.rand(60).double()))


def match() -> Case:
    def slow(dets: Tensor) -> Tensor:
        return join(test_soft_nms.match(dets.float().numpy(), 0.5))

    dets = torch.cat([draw_boxes(60, 90), torch.rand(60, 1).double()], dim=1)
    return Case(
        lambda d: join([group.tolist() for group in mmcv_ops.nms_match(d, 0.5)]), slow, (dets,)
    )


def join(groups: list[list[int]]) -> Tensor:
    """Write groups of indices after one another, each behind its number of members."""
    return torch.tensor([n for group in groups for n in (len(group), *group)], dtype=torch.float64)
