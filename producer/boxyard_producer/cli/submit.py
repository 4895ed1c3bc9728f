"""`boxyard submit`: images in; predictions out as a table, as JSON, or drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from boxyard_schemas import Callback, Delivery, Job, JobResult, JobState, MaskForm, Parameters
from boxyard_schemas.errors import UnusableImages

from ..client import Client
from ..client.files import shorten
from ..client.options import JobOptions
from ..client.requests import invalid
from .choosing import choose, complain_of
from .connection import connect
from .interruptions import Interruptions
from .saving import Saver
from .tables import tabulate_jobs, tabulate_predictions
from .terminal import err, note, out, warn

IMAGES_PER_JOB = 32
"""More pictures than this become several jobs, so that workers can share them."""


def submit(
    images: Annotated[
        list[str],
        typer.Argument(
            metavar="IMAGE",
            help="Files, folders, patterns such as 'a/**/*.jpg', http(s) URLs or s3:// URIs.",
        ),
    ],
    *,
    model: Annotated[str, typer.Option(help="`boxyard models` lists them.")],
    wait: Annotated[bool, typer.Option("--wait", help="Wait for the predictions.")] = False,
    save_dir: Annotated[
        Path | None,
        typer.Option(help="Save JSON and the images with detections drawn; waits."),
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
        float | None, typer.Option(metavar="SECONDS", help="Wait no longer than this in all.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON document a line and job, at once.")
    ] = False,
) -> None:
    """Enqueue images and, with --wait, print what was found in them.

    What is interrupted prints the jobs that go on; `boxyard jobs result ID` reads them later.
    """
    asked: dict[str, Any] = {"score_threshold": score_threshold, "masks": masks}
    if text_prompt is not None:
        asked |= {"text_prompt": text_prompt, "custom_entities": not sentence}
    options = _options(asked, callback)
    names, complete = choose(images)
    if not names:
        raise typer.Exit(1)
    saver = Saver(save_dir, names) if save_dir else None
    run = _Run(waits=wait or saver is not None, as_json=as_json)
    with connect() as client, run.reporting():
        complete = run.enqueue(client, model, names, options) and complete
        if run.waits:
            complete = run.finish(client, timeout, saver) and complete
    if not complete:
        raise typer.Exit(1)


def _options(asked: dict[str, Any], callback: str | None) -> JobOptions:
    try:
        target = Callback.model_validate({"url": callback}) if callback else None
        parameters = Parameters.model_validate(asked)
    except ValidationError as error:
        raise invalid(error) from error
    return JobOptions(parameters=parameters, delivery=Delivery(callback=target))


@dataclass
class _Run:
    """The jobs of one command: whatever ends it, each that was accepted is printed.

    Attributes:
        waits: whether results are waited for.
        as_json: a document a line, printed at once.
        unfinished: accepted, and not printed with what became of it.
        names: what was submitted, by job.
        interruptions: Ctrl-C and SIGTERM.
    """

    waits: bool
    as_json: bool
    unfinished: dict[str, Job] = field(default_factory=dict)
    names: dict[str, list[str]] = field(default_factory=dict)
    interruptions: Interruptions = field(default_factory=Interruptions)

    @contextmanager
    def reporting(self) -> Iterator[None]:
        """Inside, an end that comes early prints the jobs that go on.

        Raises:
            typer.Exit: with what a shell gives a program that the signal ended.
        """
        try:
            yield
        except BaseException as error:
            self.interruptions.end()  # while it prints
            self._report_unfinished()
            if isinstance(error, KeyboardInterrupt):
                raise typer.Exit(128 + error.args[0]) from error
            raise

    def enqueue(self, client: Client, model: str, names: list[str], options: JobOptions) -> bool:
        """Submit the images; whether all were.

        A signal ends it when what is under way has been submitted, and printed as the rest.
        """
        unusable: list[dict[str, Any]] = []
        with self.interruptions.held():
            try:
                self._submit(client, model, names, options)
            except UnusableImages as error:
                unusable = error.data["images"]
                complain_of([each["detail"] for each in unusable])
        left_out = {each["index"] for each in unusable}
        kept = (
            [names[number] for number in part if number not in left_out] for part in _parts(names)
        )
        self.names = dict(zip(self.unfinished, filter(None, kept), strict=True))
        if not self.waits and not self.as_json:
            out.print(tabulate_jobs(self.unfinished.values()))
        return not unusable

    def _submit(self, client: Client, model: str, names: list[str], options: JobOptions) -> None:
        warned: set[str] = set()
        wanted = self._until_interrupted(names)
        for job in client.submit_many(model, wanted, images_per_job=IMAGES_PER_JOB, **options):
            self.unfinished[job.id] = job
            for warning in set(job.warnings) - warned:
                warn(warning)
            warned.update(job.warnings)
            if self.as_json and not self.waits:
                _print_json(job)

    def _until_interrupted(self, names: list[str]) -> Iterator[str]:
        for part in _parts(names):
            if self.interruptions.pending:
                return
            yield from (names[number] for number in part)

    def finish(self, client: Client, timeout_s: float | None, saver: Saver | None) -> bool:
        """Print each job's result once it has ended; whether all succeeded."""
        ended = client.as_completed(list(self.unfinished), timeout_s=timeout_s)
        succeeded = True
        while self.unfinished:
            with err.status(f"{len(self.unfinished)} jobs, waiting"):
                job = next(ended)
                has_result = job.state in (JobState.SUCCEEDED, JobState.FAILED)
                result = client.result(job.id) if has_result else None
            if result and saver:
                saver.save(result, self.names[job.id])
            with self.interruptions.held():  # printed as ended or as unfinished, never as both
                self._print_ended(job, result)
                del self.unfinished[job.id]
            succeeded = succeeded and job.state is JobState.SUCCEEDED
        if saver:
            saver.summarise()
        return succeeded

    def _print_ended(self, job: Job, result: JobResult | None) -> None:
        if self.as_json:
            _print_json(result or job)
        elif result is None:
            warn(f"{job.id} {job.state}: {job.reason or 'no reason given'}")
        else:
            outcomes = zip(self.names[job.id], result.images, strict=True)
            rows = (
                (shorten(each.reference) if each.reference else shorten(name, 80), each)
                for name, each in outcomes
            )
            out.print(tabulate_predictions(rows))

    def _report_unfinished(self) -> None:
        if not self.unfinished:
            return
        note(
            f"{len(self.unfinished)} jobs were accepted and go on; `boxyard jobs result ID` reads "
            "the result of one, `boxyard jobs cancel ID` cancels it:"
        )
        for job_id in self.unfinished:
            note(job_id)
        if self.as_json and self.waits:
            for job in self.unfinished.values():
                _print_json(job)


def _print_json(document: Job | JobResult) -> None:
    out.out(document.model_dump_json(exclude_none=True), highlight=False)


def _parts(images: list[str]) -> Iterator[range]:
    """The numbers of each job's images."""
    for start in range(0, len(images), IMAGES_PER_JOB):
        yield range(start, min(start + IMAGES_PER_JOB, len(images)))
