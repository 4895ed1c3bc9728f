"""`boxyard-worker`: the processes that do the work.

Everything beyond typer is imported by the command that needs it, so that the base install can
say which extra is missing.
"""
# ruff: noqa: PLC0415

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError

from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command
from boxyard_schemas.variables import unknown_variables
from boxyard_worker.weights.commands import pull, weights

app = typer.Typer(
    help="Boxyard's workers. Settings come from BOXYARD_… variables; options override them.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command()(pull)
app.add_typer(weights, name="weights")
Level = Annotated[
    str, typer.Option(envvar="BOXYARD_LOG_LEVEL", help="debug, info, warning, error.")
]


@app.command()
def detect(
    *,
    model: Annotated[
        str | None, typer.Option(help="A name of the catalogue, or a new one for your own.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu or cuda:N.")] = None,
    weights: Annotated[
        str | None, typer.Option(help="A safetensors file, or random; else those that were pulled.")
    ] = None,
    config: Annotated[
        Path | None, typer.Option(help="Your own model's mmengine configuration; runs as code.")
    ] = None,
    classes: Annotated[
        Path | None, typer.Option(help="Your own model's label names, one a line.")
    ] = None,
    max_batch: Annotated[int | None, typer.Option(help="Most pictures of a device batch.")] = None,
    max_wait_ms: Annotated[float | None, typer.Option(help="Wait for batch mates.")] = None,
    detector: Annotated[str | None, typer.Option(help="mmdetection or standin.")] = None,
    log_level: Level = "info",
) -> None:
    """Serves one model on one device."""
    given = {
        "model": model,
        "device": device,
        "weights": weights,
        "config": config,
        "classes": classes,
        "max_batch": max_batch,
        "max_wait_ms": max_wait_ms,
        "detector": detector,
    }
    _start(log_level)
    from boxyard_worker.detect import run
    from boxyard_worker.settings import DetectSettings

    chosen: dict[str, Any] = {name: value for name, value in given.items() if value is not None}
    raise typer.Exit(run(DetectSettings(**chosen)))


@app.command()
def deliver(log_level: Level = "info") -> None:
    """Tells callers: signed callbacks and copies into their buckets."""
    _start(log_level)
    from boxyard_worker.deliver import DeliverSettings, run

    run(DeliverSettings())


@app.command()
def sweep(log_level: Level = "info") -> None:
    """Gives back what lost its lease, ends what expired, rings missing bells."""
    _start(log_level)
    from boxyard_worker.sweep import SweepSettings, run

    run(SweepSettings())


@app.command()
def convert(
    source: Annotated[Path, typer.Argument(help="A published checkpoint, `.pth`.")],
    target: Annotated[Path | None, typer.Argument(help="Beside the source by default.")] = None,
) -> None:
    """Writes a checkpoint's weights as safetensors, which is what `detect` serves."""
    from boxyard_worker.detector.conversion import convert_checkpoint
    from boxyard_worker.detector.errors import DetectorLoadError

    try:
        typer.echo(convert_checkpoint(source, target))
    except DetectorLoadError as error:
        raise SetupError(str(error)) from error


@app.command()
def check(
    as_json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Says whether this machine can detect, and how to mend what is wrong."""
    from boxyard_worker.check import check_machine

    findings = check_machine()
    if as_json:
        typer.echo(json.dumps([finding._asdict() for finding in findings]))
    else:
        for finding in findings:
            typer.echo(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name}: {finding.detail}")
            if finding.mend:
                typer.echo(f"      {finding.mend}")
    raise typer.Exit(0 if all(finding.ok for finding in findings) else 1)


def main() -> None:
    """Runs a command; what the operator must mend is said in one line, without a traceback."""
    try:
        app()
    except SetupError as error:
        sys.exit(f"boxyard-worker: {error.detail}")
    except ValidationError as error:
        from boxyard_ledger.settings import describe_faults

        sys.exit("\n".join(f"boxyard-worker: {fault}" for fault in describe_faults(error)))
    except ModuleNotFoundError as error:
        sys.exit(
            f"boxyard-worker: the Python package {error.name!r} is not installed. "
            f"Install what workers need. To detect: {install_command('detect')}. "
            f"To deliver and sweep: {install_command('worker')}."
        )


def _start(log_level: str) -> None:
    import structlog

    from boxyard_worker.logs import configure_logs

    configure_logs(log_level)
    for warning in unknown_variables(os.environ):
        structlog.get_logger("boxyard_worker").warning("unknown setting", detail=warning)


if __name__ == "__main__":
    main()
