"""A model's `test_cfg`: options by which it fails or finds nothing, which an empty image hides."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import torch
from mmdet.models.dense_heads import SOLOHead

from boxyard_worker.detector.errors import DetectorLoadError

_MOST_PIXELS: Final = 16384
"""A longer side than images have."""
_CANDIDATES: Final = 20
"""Of a trial with all thresholds at 0: enough for each step to run, few enough for any model."""


class _Rule(NamedTuple):
    """Which values an option may have.

    Attributes:
        accepts: whether a value is one.
        wanted: what to write instead of another.
    """

    accepts: Callable[[Any], bool]
    wanted: str


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


_COUNT: Final = _Rule(
    lambda value: value is None or (type(value) is int and (value > 0 or value == -1)),
    "a whole number above 0",
)
_SCORE: Final = _Rule(lambda value: _is_number(value) and value < 1, "a number below 1")
_SHARE: Final = _Rule(lambda value: _is_number(value) and 0 <= value < 1, "a number from 0 to 1")
_SIZE: Final = _Rule(
    lambda value: _is_number(value) and value < _MOST_PIXELS,
    "a number of pixels that objects in an image have",
)
_COUNTS: Final = (
    *("max_per_img", "max_per_image", "max_num"),
    *("nms_pre", "nms_post", "topk", "top_k", "corner_topk"),
)
_SCORES: Final = ("score_thr", "conf_thr", "filter_thr", "score_threshold")
_RULES: Final[Mapping[str, _Rule]] = {
    **dict.fromkeys(_COUNTS, _COUNT),
    **dict.fromkeys(_SCORES, _SCORE),
    **dict.fromkeys(("mask_thr", "mask_thr_binary"), _SHARE),
    "min_bbox_size": _SIZE,
}


def check_options(options: Any, path: Path) -> None:
    """Refuses a value in a `test_cfg` by which the model fails, or runs and never finds anything.

    Raises:
        DetectorLoadError: names the option.
    """
    for part in _walk(options):
        for name, value in part.items():
            rule = _RULES.get(name)
            if rule and not rule.accepts(value):
                raise DetectorLoadError(
                    f"The configuration {path.name} has {name}={value!r:.100} in its `test_cfg`:"
                    " the model would fail, or nothing would ever be found.",
                    f"Give it {rule.wanted}.",
                )


def try_steps(name: str, model: Any, detect: Callable[[], object]) -> None:
    """Detects with all score thresholds at 0, so that each step of the post-processing has input.

    SOLO's heads make a mask for each candidate before they count them: they are left out, because
    the time and memory of all candidates is not bounded there.

    Raises:
        DetectorLoadError: a step fails.
    """
    if any(isinstance(part, SOLOHead) for part in model.modules()):
        return
    try:
        try:
            with _accepting_all(model, most=_CANDIDATES):
                detect()
        except Exception:
            # Counts may depend on each other: CornerNet takes 1,000 pairs of 100 corners.
            with _accepting_all(model, most=math.inf):
                detect()
    except (MemoryError, torch.OutOfMemoryError):
        return  # an image may have fewer candidates
    except Exception as error:
        raise DetectorLoadError(
            f"The model {name} fails as soon as it finds something: {type(error).__name__}:"
            f" {str(error)[:300]}.",
            "Check the `test_cfg` of its configuration, above all the options of `nms`.",
        ) from error


@contextmanager
def _accepting_all(model: Any, most: float) -> Iterator[None]:
    """Lowers score thresholds to 0, and counts to `most`: what they let in takes time and memory.

    All are as they were at the end.
    """
    parts = [part.test_cfg for part in model.modules() if hasattr(part, "test_cfg")]
    changed = []
    for options in _walk(parts):
        for name, value in list(options.items()):
            lowest = 0.0 if name in _SCORES else most if name in _COUNTS else math.inf
            if _is_number(value) and value > lowest:
                changed.append((options, name, value))
                options[name] = lowest
    try:
        yield
    finally:
        for options, name, value in changed:
            options[name] = value


def _walk(options: Any) -> Iterator[dict[str, Any]]:
    """The options, and those inside of them."""
    if isinstance(options, dict):
        yield options
        for part in options.values():
            yield from _walk(part)
    elif isinstance(options, list | tuple):
        for part in options:
            yield from _walk(part)
