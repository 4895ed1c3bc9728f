"""`boxyard submit`: pictures in; predictions out as a table, as JSON, or drawn."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from boxyard_schemas import Callback, Delivery, Job, JobResult, JobState, MaskForm, Parameters

from ..client import Client
from ..client.options import JobOptions
from ..client.requests import invalid
from .connection import connect
from .saving import save
from .tables import tabulate_jobs, tabulate_predictions
from .terminal import err, out, warn

IMAGES_PER_JOB = 32
"""More pictures than this become several jobs, so that workers can share them."""


def submit(
    images: Annotated[
        list[str], typer.Argument(metavar="IMAGE", help="Files, http(s) URLs or s3:// URIs.")
    ],
    *,
    model: Annotated[str, typer.Option(help="`boxyard models` lists them.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the predictions.")] = False,
    save_dir: Annotated[
        Path | None,
        typer.Option(help="Save JSON and the pictures with detections drawn; waits."),
    ] = None,
    score_threshold: Annotated[
        float, typer.Option(min=0, max=1, help="Drop instances that score lower.")
    ] = 0.3,
    masks: Annotated[MaskForm, typer.Option(help="Form of instance masks.")] = "polygon",
    text_prompt: Annotated[
        str | None,
        typer.Option(help="What to look for, as 'cat. traffic light', where the model takes it."),
    ] = None,
    sentence: Annotated[
        bool, typer.Option("--sentence", help="The prompt is a sentence: look for its nouns.")
    ] = False,
    callback: Annotated[
        str | None, typer.Option(metavar="URL", help="POST a signed event there at the end.")
    ] = None,
    timeout: Annotated[
        float | None, typer.Option(metavar="SECONDS", help="Wait no longer than this.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and job, nothing else.")
    ] = False,
) -> None:
    """Enqueue pictures and, with --wait, print what was found in them."""
    asked: dict[str, Any] = {"score_threshold": score_threshold, "masks": masks}
    if text_prompt is not None:
        asked |= {"text_prompt": text_prompt, "custom_entities": not sentence}
    options = _options(asked, callback)
    with connect() as client:
        jobs = list(_enqueue(client, model, images, options))
        if not (wait or save_dir):
            _show_jobs(jobs, as_json)
            return
        ended = [_finish(client, job, timeout) for job in jobs]
    parts = [images[start : start + IMAGES_PER_JOB] for start in _starts(images)]
    for (job, result), names in zip(ended, parts, strict=True):
        _show_result(job, result, names, as_json)
    if save_dir:
        pairs = zip(ended, parts, strict=True)
        save(save_dir, [(result, names) for (_, result), names in pairs if result])
    if any(job.state is not JobState.SUCCEEDED for job, _ in ended):
        raise typer.Exit(1)


def _options(asked: dict[str, Any], callback: str | None) -> JobOptions:
    try:
        target = Callback.model_validate({"url": callback}) if callback else None
        parameters = Parameters.model_validate(asked)
    except ValidationError as error:
        raise invalid(error) from error
    return JobOptions(parameters=parameters, delivery=Delivery(callback=target))


def _enqueue(client: Client, model: str, images: list[str], options: JobOptions) -> Iterator[Job]:
    for start in _starts(images):
        job = client.submit(model, images[start : start + IMAGES_PER_JOB], **options)
        for warning in job.warnings:
            warn(warning)
        yield job


def _finish(client: Client, job: Job, timeout_s: float | None) -> tuple[Job, JobResult | None]:
    """The job as it ended and its result, where it has one."""
    with err.status(f"{job.id}: {job.images.total} pictures, waiting"):
        ended = client.wait(job.id, timeout_s)
        told = ended.state in (JobState.SUCCEEDED, JobState.FAILED)
        return ended, client.result(job.id) if told else None


def _show_jobs(jobs: list[Job], as_json: bool) -> None:
    if as_json:
        for job in jobs:
            out.out(job.model_dump_json(exclude_none=True), highlight=False)
    else:
        out.print(tabulate_jobs(jobs))


def _show_result(job: Job, result: JobResult | None, names: list[str], as_json: bool) -> None:
    if as_json:
        out.out((result or job).model_dump_json(exclude_none=True), highlight=False)
    elif result is None:
        warn(f"{job.id} {job.state}: {job.reason or 'no reason given'}")
    else:
        outcomes = zip(names, result.images, strict=True)
        out.print(tabulate_predictions((each.reference or name, each) for name, each in outcomes))


def _starts(images: list[str]) -> range:
    return range(0, len(images), IMAGES_PER_JOB)
