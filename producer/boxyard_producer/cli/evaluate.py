"""`boxyard evaluate`: a model's average precision on a COCO set, through the real queue."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Self

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from boxyard_schemas import Job, JobResult
from boxyard_schemas.errors import InvalidRequest, SetupError
from boxyard_schemas.installation import install_command

from ..client import Retries
from .connection import connect_async
from .terminal import err, out, say, warn

if TYPE_CHECKING:
    from ..evaluation import Evaluation, Figures, Findings, Picture

_PATIENT = Retries(patience_s=3600, attempts=300)
"""A queue that is full or a server that restarts is waited for; a set may take hours."""

_FORMS = {
    "boxes": "x, y, width, height in pixels",
    "masks": "polygons x, y, … in pixels or run lengths of the image's size",
}
"""How COCO writes each kind that is judged."""


def evaluate(
    *,
    model: Annotated[str, typer.Option(help="`boxyard models` lists them.")],
    annotations: Annotated[
        Path, typer.Option(metavar="FILE", help="What the pictures show, in COCO's form.")
    ],
    images: Annotated[Path, typer.Option(metavar="DIR", help="The pictures.")],
    limit: Annotated[
        int | None, typer.Option(min=1, help="Only the first so many pictures.")
    ] = None,
    save: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Save what was found, as COCO results.")
    ] = None,
    in_flight: Annotated[
        int, typer.Option(min=1, help="Jobs of 8 pictures that are under way at once.")
    ] = 8,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON document.")] = False,
) -> None:
    """Send the pictures of a COCO set and judge what comes back as COCO does (AP, AR).

    Nothing is cut or rounded on the way, so the figures are those of the model itself.
    """
    with _extra():
        from ..evaluation import Findings, Truth  # noqa: PLC0415 - numpy comes with an extra
    truth = Truth.read(annotations, images, limit)
    for repair in truth.repairs:
        warn(f"{annotations}: {repair}")
    findings = Findings(truth)
    if save:
        _refuse_overwriting(save, [annotations, *(image.path for image in truth.pictures)])
        save.open("a").close()  # what cannot be written is better known before hours of work
    name = asyncio.run(_send(model, findings, in_flight))
    if save:
        save.write_text(json.dumps(findings.results()) + "\n")
    evaluation = _judge(name, findings)
    for picture, failure in findings.failures.items():
        warn(f"{picture.path}: {failure.code}: {failure.detail}")
    if as_json:
        out.out(evaluation.model_dump_json(), highlight=False)
    else:
        say(f"{evaluation.model} on {evaluation.images} pictures\n")
        out.print(_tabulate(evaluation))
    unmatched = [kind for kind, figures in _judged(evaluation).items() if not figures["AR100"]]
    for kind in unmatched:
        warn(
            f"None of the {kind} that the model found matches an annotation. Unless the model is "
            f"that bad, the annotations are of other images, or their {kind} of another form than "
            f"{_FORMS[kind]}."
        )
    if findings.failures or unmatched:
        raise typer.Exit(1)


def _refuse_overwriting(save: Path, inputs: Iterable[Path]) -> None:
    for path in inputs if save.exists() else ():
        if path.exists() and save.samefile(path):
            raise InvalidRequest(
                f"--save {save} would overwrite {path}, which is read. Name another file."
            )


async def _send(model: str, findings: Findings, in_flight: int) -> str:
    """Send everything and collect what comes back; the model's own name."""
    from ..evaluation import Passage  # noqa: PLC0415

    truth = findings.truth
    async with connect_async(Retries()) as client:  # a wrong address is said at once
        known = await client.model(model)
    for remark in truth.check_model(known.classes):
        warn(remark)
    async with connect_async(_PATIENT) as client:
        passage = Passage(client, model, masks=truth.has_masks, jobs=in_flight)
        with _Bar(known.name, findings) as bar:
            await passage.run(truth.pictures, bar)
    return known.name


class _Bar:
    """Hands on what comes back, shows how far it is, and says each warning once."""

    def __init__(self, name: str, findings: Findings) -> None:
        columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
        self._progress = Progress(*columns, TimeRemainingColumn(), console=err)
        self._task = self._progress.add_task(name, total=len(findings.truth.pictures))
        self._findings, self._said = findings, set[str]()

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def accepted(self, job: Job) -> None:
        for warning in job.warnings:
            if warning not in self._said:
                warn(warning)
                self._said.add(warning)

    def ended(self, pictures: Sequence[Picture], result: JobResult) -> None:
        for picture, outcome in zip(pictures, result.images, strict=True):
            self._findings.add(picture, outcome, result.provenance)
        self._progress.advance(self._task, len(pictures))


def _judge(model: str, findings: Findings) -> Evaluation:
    from ..evaluation import Evaluation, judge  # noqa: PLC0415

    truth, results = findings.truth, findings.results()
    with_mask = sum("segmentation" in found for found in results)
    if 0 < with_mask < len(results):
        warn(f"Boxes alone are judged: {len(results) - with_mask:,} of {len(results):,} instances "
             "came without a mask.")  # fmt: skip
    return Evaluation(
        model=model,
        images=len(truth.pictures),
        failed=len(findings.failures),
        weights_sha256=tuple(sorted(findings.weights)),
        bbox=judge(truth, results, "bbox"),
        segm=judge(truth, results, "segm") if results and with_mask == len(results) else None,
    )


def _judged(evaluation: Evaluation) -> dict[str, Figures]:
    """The figures of each kind that was judged."""
    kinds = {"boxes": evaluation.bbox, "masks": evaluation.segm}
    return {kind: figures for kind, figures in kinds.items() if figures is not None}


def _tabulate(evaluation: Evaluation) -> Table:
    made = _judged(evaluation)
    table = Table("Figure", *made, box=None, pad_edge=False)
    for name in evaluation.bbox:
        table.add_row(name, *(_shown(figures, name) for figures in made.values()))
    return table


def _shown(figures: Figures, name: str) -> Text:
    figure = figures[name]
    return Text("none", style="dim") if figure is None else Text(f"{figure:.3f}")


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ImportError as error:
        raise SetupError(f"Evaluation needs pycocotools: {install_command('evaluate')}.") from error
