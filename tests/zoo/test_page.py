"""What the zoo tells of its entries, and which of them make the sample."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from boxyard_schemas.catalogue import catalogue
from boxyard_worker.detector.contract import CroppedMask, ModelDescription, RawDetections
from zoo.excuses import EXCUSES
from zoo.outcomes import Outcome, Task
from zoo.report import write_report
from zoo.sample import Recipe, choose_sample, read_sample

BOXES, MASKS = "retinanet_r50_fpn_1x_coco", "mask-rcnn_r50_fpn_1x_coco"


def recipe(detector: str, parts: str, cost: float = 50) -> Recipe:
    return Recipe(detector, frozenset([detector, *parts]), cost)


def test_the_sample_holds_every_part_at_little_cost_and_each_class_its_lightest() -> None:
    recipes = {
        "large": recipe("Two", "abc", cost=101),
        "middle": recipe("Two", "abc"),
        "odd": recipe("One", "d"),
        "small": recipe("Two", "a", cost=18),
    }
    sample = choose_sample(recipes, ("nms",))
    assert sample.entries == ("middle", "odd")
    assert sample.classes == {"One": "odd", "Two": "small"}
    assert not sample.find_missing(recipes)
    more = recipes | {"new": recipe("Three", "de")}
    assert sample.find_missing(more) == {"Three", "e"}


def test_the_written_sample_names_entries_that_are_there_and_can_answer() -> None:
    sample = read_sample()
    named = {*sample.entries, *sample.classes.values()}
    assert named <= catalogue().keys()
    assert EXCUSES.keys() <= catalogue().keys()
    assert not named & EXCUSES.keys()
    assert {"nms", "roi_align_forward", "deform_conv_forward"} <= set(sample.operators)


def test_the_page_lists_every_entry_with_its_answer_or_the_reason(tmp_path: Path) -> None:
    excused = next(iter(EXCUSES))
    outcomes = [
        Outcome(Task(BOXES), found=50, plan=True, load_s=1.25, detect_s=0.5, at=86_400.0),
        Outcome(Task(BOXES, whole=True), found=9, plan=True, width=1067, height=800, peak_mib=900),
        Outcome(Task(MASKS), reason="took longer than 3 s | or so"),
        Outcome(Task(excused), reason="AttributeError: proposals"),
    ]
    page = tmp_path / "zoo.md"
    write_report({outcome.task: outcome for outcome in outcomes}, page)
    text = page.read_text()
    assert "1970-01-02" in text
    assert f"1 of {len(catalogue())} answer" in text
    assert f"| {BOXES} | object detection | ok | 1.8 |" in text
    assert f"| {BOXES} | 1067x800 | 0.0 | 0.0 | 900 | ok |" in text
    assert f"| {MASKS} | instance segmentation | took longer than 3 s \\| or so | 0.0 |" in text
    assert f"- {excused}: {EXCUSES[excused]}" in text
    assert text.count("not tried yet") == 2 * (len(catalogue()) - 3)


DESCRIPTION = ModelDescription(MASKS, ("cat", "dog"), True, None, "", "", "cpu")
GOOD = RawDetections(
    np.array([[0, 0, 9, 9], [1, 1, 5, 5]], np.float32),
    np.array([0.9, 0.5], np.float32),
    np.array([0, 1]),
    (CroppedMask(0, 0, 0, 0, b""),) * 2,
)


@pytest.mark.parametrize(
    ("fault", "changed"),
    [
        ("boxes are not finite", {"boxes": GOOD.boxes * np.float32("nan")}),
        ("scores are not finite", {"scores": GOOD.scores * np.float32("inf")}),
        ("the best do not come first", {"scores": GOOD.scores[::-1]}),
        ("labels reach 2 of 2 classes", {"labels": np.array([0, 2])}),
        ("differ in number", {"labels": np.array([0])}),
        ("gives no masks", {"masks": None}),
        ("masks and boxes differ", {"masks": ()}),
    ],
    ids=["boxes", "scores", "order", "labels", "numbers", "no masks", "few masks"],
)
def test_an_answer_that_may_not_leave_is_found(fault: str, changed: dict[str, Any]) -> None:
    from zoo.trial import check

    check(GOOD, catalogue()[MASKS], DESCRIPTION)
    with pytest.raises(AssertionError, match=fault):
        check(dataclasses.replace(GOOD, **changed), catalogue()[MASKS], DESCRIPTION)
