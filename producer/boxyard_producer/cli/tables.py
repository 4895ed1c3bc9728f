"""Jobs, models and predictions as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from rich.table import Table
from rich.text import Text

from boxyard_schemas import Detection, ImageOutcome, ImageSuccess, Job, JobState, Model
from boxyard_schemas.words import utc_now

_COLOURS = {
    JobState.SUCCEEDED: "green",
    JobState.RUNNING: "cyan",
    JobState.QUEUED: "blue",
    JobState.FAILED: "red",
    JobState.DEAD: "red",
}


def tabulate_jobs(jobs: Iterable[Job]) -> Table:
    """A line a job."""
    table = Table("Job", "State", "Images", "Age", "Model", box=None, pad_edge=False)
    for column in table.columns[:4]:
        column.no_wrap = True
    for job in jobs:
        age = _age((utc_now() - job.created_at).total_seconds())
        model = Text(job.model, overflow="fold")
        table.add_row(job.id, paint(job.state), str(job.images.total), age, model)
    return table


def tabulate_models(models: Iterable[Model]) -> Table:
    """A line a model, those that are served first."""
    table = Table("Model", "Task", "Workers", "Queued", "Devices", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for model in sorted(models, key=lambda each: (not each.workers, each.name)):
        devices = ", ".join(sorted(worker.device for worker in model.workers))
        table.add_row(model.name, model.task or "", _workers(model), str(model.queued), devices)
    return table


def tabulate_predictions(outcomes: Iterable[tuple[str, ImageOutcome]]) -> Table:
    """A line an instance; boxes in pixels of the upright picture.

    Args:
        outcomes: what to call each picture, and what became of it.
    """
    table = Table("Picture", "Label", "Score", "Box (x1 y1 x2 y2)", box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for name, outcome in outcomes:
        for first, row in enumerate(_rows(outcome)):
            table.add_row(Text(name if first == 0 else ""), *row)
    return table


def paint(state: JobState) -> Text:
    """A state in its colour."""
    return Text(state, style=_COLOURS.get(state, "yellow"))


def _age(seconds: float) -> str:
    """In the largest unit of which there is more than one."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _workers(model: Model) -> Text:
    if not model.workers:
        return Text("none", style="dim")
    warm = sum(worker.warm for worker in model.workers)
    text = f"{warm} warm" if warm == len(model.workers) else f"{warm} of {len(model.workers)} warm"
    return Text(text, style="green" if warm else "yellow")


def _rows(outcome: ImageOutcome) -> Iterator[Sequence[Text]]:
    if not isinstance(outcome, ImageSuccess):
        yield (Text(f"{outcome.code}: {outcome.detail}", style="red"),)
        return
    if not outcome.boxes:
        yield (Text("nothing found", style="dim"),)
    for found in outcome.boxes:
        yield Text(found.label), Text(f"{found.score:.2f}"), Text(_pixels(found, outcome))


def _pixels(found: Detection, outcome: ImageSuccess) -> str:
    width, height, box = outcome.image.width, outcome.image.height, found.box
    corners = box.topX * width, box.topY * height, box.bottomX * width, box.bottomY * height
    return " ".join(f"{round(corner):4d}" for corner in corners)
