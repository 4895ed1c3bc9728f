"""Jobs, models and predictions as tables."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from rich.table import Table
from rich.text import Text

from boxyard_schemas import (
    ApiKey,
    Detection,
    ImageOutcome,
    ImageSuccess,
    Job,
    JobDelivery,
    JobState,
    Model,
)
from boxyard_schemas.words import printable, utc_now

if TYPE_CHECKING:
    from boxyard_ledger import Quarantined

_COLOURS = {
    JobState.SUCCEEDED: "green",
    JobState.RUNNING: "cyan",
    JobState.QUEUED: "blue",
    JobState.FAILED: "red",
    JobState.DEAD: "red",
}

_FINDS = {"object-detection": "boxes", "instance-segmentation": "masks"}


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


def tabulate_deliveries(deliveries: Iterable[JobDelivery]) -> Table:
    """A line a delivery, with what its last attempt came to."""
    columns = ("Delivery", "State", "Attempts", "Last", "Job", "Target")
    table = Table(*columns, box=None, pad_edge=False)
    for column in (table.columns[0], table.columns[4]):
        column.no_wrap = True
    for each in deliveries:
        last = each.attempts[-1].outcome if each.attempts else ""
        target = Text(each.target, overflow="fold")
        table.add_row(each.id, each.state, str(len(each.attempts)), Text(last), each.job, target)
    return table


def tabulate_models(models: Iterable[Model]) -> Table:
    """A line a model, those that are served first."""
    columns = ("Model", "Finds", "Box AP", "Mask AP", "Input", "Workers", "Queued")
    table = Table(*columns, box=None, pad_edge=False)
    table.columns[0].overflow = "fold"
    for model in sorted(models, key=lambda each: (not each.workers, each.name)):
        aps = (_ap(model.box_ap), _ap(model.mask_ap))
        finds, workers = _FINDS[model.task] if model.task else "", _workers(model)
        table.add_row(model.name, finds, *aps, _input(model), workers, str(model.queued))
    return table


def describe_model(model: Model) -> Table:
    """A line a fact; what is not known is left out."""
    table = Table.grid(padding=(0, 2))
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    facts = model.model_dump(exclude_none=True) | {
        "box_ap": _ap(model.box_ap),
        "mask_ap": _ap(model.mask_ap),
        "input_size": _input(model),
        "paper": (model.paper.title, model.paper.url) if model.paper else (),
        "workers": [f"{each.id} on {each.host}, {each.device}" for each in model.workers]
        or ["none"],
    }
    for name, fact in facts.items():
        lines = fact if isinstance(fact, list | tuple) else [fact]
        if shown := "\n".join(map(str, lines)):
            table.add_row(name.replace("_", " "), Text(shown))
    return table


def tabulate_keys(keys: Iterable[ApiKey]) -> Table:
    """A line an API key."""
    table = Table("Key", "Tenant", "Name", "Scopes", "Until", box=None, pad_edge=False)
    table.columns[0].no_wrap = True
    for key in keys:
        scopes = ", ".join(key.scopes)
        table.add_row(key.id, key.tenant, Text(key.name, overflow="fold"), scopes, _until(key))
    return table


def tabulate_quotas(quotas: Mapping[str, Mapping[str, int | None]]) -> Table:
    """A line a tenant and its own bounds."""
    bounds_of = ("Jobs a minute", "Queued jobs", "Stored bytes", "Queued bytes", "Record bytes")
    table = Table("Tenant", *bounds_of, box=None, pad_edge=False)
    for name, bounds in quotas.items():
        table.add_row(name, *(_bound(value) for value in bounds.values()))
    return table


def tabulate_quarantined(entries: Iterable[Quarantined]) -> Table:
    """A line a place that could not be read."""
    table = Table("Found", "Reason", "Place", box=None, pad_edge=False)
    for each in entries:
        age = _age((utc_now() - each.at).total_seconds())
        place = Text(printable(each.place), overflow="fold")
        table.add_row(f"{age} ago", Text(printable(each.reason)), place)
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


def _until(key: ApiKey) -> Text:
    if key.expires_at is None:
        return Text("no end", style="dim")
    over = key.expires_at <= utc_now()
    return Text(f"{key.expires_at:%Y-%m-%d %H:%M} UTC", style="red" if over else "")


def _bound(value: int | None) -> Text:
    return Text("as all", style="dim") if value is None else Text(f"{value:,}")


def _age(seconds: float) -> str:
    """In the largest unit of which there is more than one."""
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def _ap(percent: float | None) -> str:
    return "" if percent is None else f"{percent:.1f}"


def _input(model: Model) -> str:
    return "{}x{}".format(*model.input_size) if model.input_size else ""


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
