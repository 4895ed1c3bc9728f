"""Writes `docs/zoo.md` from what became of the entries."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from boxyard_schemas.catalogue import CatalogueEntry, catalogue
from zoo.excuses import EXCUSES
from zoo.outcomes import Outcome, Task

_LIBRARIES = ("torch", "torchvision", "mmdet", "mmcv-lite", "mmengine", "numpy")

_INTRODUCTION = """\
# The zoo: every model of the index, tried

Written by `make zoo`; a run writes this page anew, and goes on where the last one ended.

Each model of the catalogue is loaded by the code that serves it, `load_detector`, with seeded
random weights, in a process of its own without a network. It answers for one picture of
coloured blobs, of 128x96 pixels, or of the smallest size that the model takes; its thresholds are
set to 0, for untrained it is sure of nothing. The answer holds when boxes and scores are finite,
the best come first, labels are the model's classes, a model whose task is instance segmentation
gives a mask for each instance, and `encode` makes the contract's words of every one. That shows
that a model builds, runs and answers; that it answers as mmdet does is shown by `make
same-numbers` for chosen ones, and how well it detects only by its published weights.
"""

_NOTES = """\
## What they take

- No test pipeline leaves anything to chance: none flips or scales at random, and
  `RandomCenterCropPad` (CornerNet, CentripetalNet, CenterNet) pads to a fixed rule when it tests.
  Each small picture is asked for twice and must get the same answer.
- SSD takes one size alone, to which its test pipeline stretches every picture.
- DINO, DDQ, Grounding DINO and the two-stage Deformable DETR choose their queries among the cells
  of the feature maps, and fail on a picture that has fewer. DINO's 900 queries are too many for a
  picture more than 40 times as long as it is wide.
- Where an untrained model finds nothing, or boxes without an end, its batch norms are set to what
  they see of the picture, so that no layer fades or bursts, and it is asked again.
- Models that read prompts get a BERT of the base model's size with a small vocabulary of our own
  making, in the place of `bert-base-uncased`'s.
"""


def write_report(outcomes: Mapping[Task, Outcome], page: Path) -> None:
    """Writes the page; entries that were never tried are told of too."""
    small = [outcomes.get(Task(name), Outcome(Task(name), "not tried yet")) for name in catalogue()]
    whole = [outcome for task, outcome in outcomes.items() if task.whole]
    parts = [_INTRODUCTION, _when(outcomes.values()), _summary(small)]
    parts += [_NOTES]
    parts += ["## At their own size\n", _classes(whole)] if whole else []
    parts += ["## Every entry\n", _entries(small)]
    page.write_text("\n".join(parts))


def _when(outcomes: Iterable[Outcome]) -> str:
    last = max((outcome.at for outcome in outcomes), default=0.0)
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 2**30
    held = ", ".join(f"{library} {version(library)}" for library in _LIBRARIES)
    return (
        f"{datetime.fromtimestamp(last, UTC).date()}, {platform.system()} on "
        f"{platform.machine()}, {os.cpu_count()} cores, {memory:.0f} GB of memory, no GPU; Python "
        f"{platform.python_version()}, {held}.\n"
    )


def _summary(small: list[Outcome]) -> str:
    failed = [outcome for outcome in small if outcome.reason]
    ours = [outcome for outcome in failed if outcome.task.name not in EXCUSES]
    empty = sum(not outcome.found for outcome in small if not outcome.reason)
    whole = sum(not outcome.plan for outcome in small if not outcome.reason)
    lines = [
        f"**{len(small) - len(failed)} of {len(small)} answer**"
        f" ({len(small) - 1} of the index, and the packaged demo model);"
        f" {len(failed) - len(ours)} cannot for a reason of their own, {len(ours)} are open.",
        f"{empty} of those that answer found nothing in the picture."
        f" {whole} run their whole test pipeline in the model child, the others but the resize.",
    ]
    return "\n".join([*lines, "", *(f"- {o.task.name}: {_say(o)}" for o in failed), ""])


def _classes(whole: list[Outcome]) -> str:
    rows = [
        f"{len(whole)} entries, one of each detector class, on a picture of 640x480 resized by the"
        " model's own test pipeline. Seconds are of one core that others share; memory is the"
        f" process' peak, of which {_base_mib(whole)} MiB or more are Python, torch and mmdet.\n",
        "| entry | input | load and warm-up, s | the picture, s | memory, MiB | answer |",
        "| --- | --- | ---: | ---: | ---: | --- |",
    ]
    for outcome in sorted(whole, key=lambda outcome: outcome.task.name):
        size = f"{outcome.width}x{outcome.height}" if outcome.plan else "whole pipeline"
        figures = f"{outcome.load_s:.1f} | {outcome.detect_s:.1f} | {outcome.peak_mib}"
        rows.append(f"| {outcome.task.name} | {size} | {figures} | {_say(outcome) or 'ok'} |")
    return "\n".join([*rows, ""])


def _base_mib(outcomes: list[Outcome]) -> int:
    return min((outcome.peak_mib for outcome in outcomes if outcome.peak_mib), default=0)


def _entries(small: list[Outcome]) -> str:
    rows = ["| entry | task | answer | s |", "| --- | --- | --- | ---: |"]
    for outcome in small:
        entry = catalogue()[outcome.task.name]
        seconds = outcome.load_s + outcome.detect_s
        rows.append(f"| {entry.name} | {_task(entry)} | {_say(outcome) or 'ok'} | {seconds:.1f} |")
    return "\n".join([*rows, ""])


def _task(entry: CatalogueEntry) -> str:
    return entry.task.replace("-", " ")


def _say(outcome: Outcome) -> str:
    if not outcome.reason:
        return ""
    return EXCUSES.get(outcome.task.name, outcome.reason).replace("|", "\\|")
