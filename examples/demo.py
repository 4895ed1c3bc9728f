"""What `make demo` runs: a whole Boxyard, twenty pictures, their predictions, signed callbacks.

`--check` compares the predictions with the truth and fails when they are not good enough.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console

from boxyard_producer import Client
from boxyard_producer.cli.tables import tabulate_predictions
from boxyard_producer.drawing import draw
from boxyard_producer.stack import Credentials
from boxyard_schemas import Callback, Delivery, ImageOutcome, ImageSuccess, Job, Parameters
from child import Child
from truth import compare, read_truth

HERE = Path(__file__).parent
MODEL = "rtmdet-ins_demo"
IMAGES_PER_JOB = 4
SCORE, RECALL, PRECISION = 0.4, 0.75, 0.8
console = Console()


def main() -> None:
    """Start everything, show it, stop everything."""
    arguments = _read_arguments()
    pictures = sorted((HERE / "images").glob("*.jpg"))
    began = time.monotonic()
    console.print("[bold]Starting Boxyard on this machine[/]")
    with Child(_up(arguments), echo=True) as stack:
        stack.wait_for("webhook secret:", limit_s=900)
        credentials = Credentials.find(arguments.data)
        assert credentials
        secret = {"BOXYARD_WEBHOOK_SECRET": credentials.webhook_secret}
        with Child(_consumer(), environment=secret) as consumer:
            outcomes = _run(credentials, consumer, pictures)
    _show(pictures, outcomes, arguments.out)
    console.print(f"\nAll that was {time.monotonic() - began:.0f} s, and everything has stopped.")
    agree = _check(pictures, outcomes) if arguments.check else True
    _go_on()
    sys.exit(0 if agree else 1)


def _read_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path(".boxyard/demo"), help="what is kept")
    parser.add_argument("--out", type=Path, default=Path("demo-out"), help="drawn pictures")
    parser.add_argument("--check", action="store_true", help="compare with the truth")
    parser.add_argument("--detector", help=argparse.SUPPRESS)
    return parser.parse_args()


def _up(arguments: argparse.Namespace) -> list[str]:
    """The consumer is on this machine, which callbacks may not reach by default."""
    words = ["-m", "boxyard_producer.cli", "up", "--port", "0", "--model", MODEL]
    words += ["--data", str(arguments.data), "--allow-network", "127.0.0.0/8"]
    return [*words, "--detector", arguments.detector] if arguments.detector else words


def _consumer() -> list[str]:
    return ["-m", "uvicorn", "callback_consumer:app", "--app-dir", str(HERE), "--port", "0"]


def _run(credentials: Credentials, consumer: Child, pictures: Sequence[Path]) -> list[ImageOutcome]:
    """Every picture's outcome, once the consumer has seen an event of every job."""
    url = consumer.wait_for("running on", limit_s=60).partition("running on ")[2].split()[0]
    delivery = Delivery(callback=Callback.model_validate({"url": f"{url}/boxyard"}))
    with Client(credentials.url, credentials.api_key) as client:
        jobs = [
            client.submit(
                MODEL, part, delivery=delivery, parameters=Parameters(score_threshold=SCORE)
            )
            for part in _parts(pictures)
        ]
        console.print(f"\n[bold]{len(pictures)} pictures are enqueued[/] as {len(jobs)} jobs")
        outcomes = [outcome for job in jobs for outcome in _follow(client, job)]
    for job in jobs:
        consumer.wait_for(f"verified job.succeeded {job.id}", limit_s=60)
    console.print(f"The callback consumer has verified {len(jobs)} signed events\n")
    return outcomes


def _parts(pictures: Sequence[Path]) -> Iterator[Sequence[Path]]:
    for start in range(0, len(pictures), IMAGES_PER_JOB):
        yield pictures[start : start + IMAGES_PER_JOB]


def _follow(client: Client, job: Job) -> tuple[ImageOutcome, ...]:
    ended = client.wait(job.id, timeout_s=300)
    seen = ended.images
    console.print(f"  {job.id} {ended.state}: {seen.succeeded} of {seen.total} pictures")
    return client.result(job.id).images


def _show(pictures: Sequence[Path], outcomes: Sequence[ImageOutcome], out: Path) -> None:
    names = [picture.name for picture in pictures]
    console.print(tabulate_predictions(zip(names, outcomes, strict=True)))
    out.mkdir(parents=True, exist_ok=True)
    for picture, outcome in zip(pictures, outcomes, strict=True):
        if isinstance(outcome, ImageSuccess):
            draw(picture.read_bytes(), outcome).save(out / picture.name, quality=92)
    console.print(f"\nThe pictures with what was found in them: [bold]{out.resolve()}[/]")


def _check(pictures: Sequence[Path], outcomes: Sequence[ImageOutcome]) -> bool:
    read = [
        (picture.name, outcome)
        for picture, outcome in zip(pictures, outcomes, strict=True)
        if isinstance(outcome, ImageSuccess)
    ]
    found = compare(read_truth(HERE / "images" / "truth.json"), read, SCORE)
    good = len(read) == len(pictures) and found.recall >= RECALL and found.precision >= PRECISION
    console.print(
        f"Against the truth (score ≥ {SCORE}, IoU ≥ 0.5): {found.hits} of {found.true} objects "
        f"found, recall {found.recall:.3f} (at least {RECALL}), precision {found.precision:.3f} "
        f"(at least {PRECISION}): {'good' if good else '[red]not good enough[/]'}"
    )
    return good


def _go_on() -> None:
    console.print(
        "\n[bold]How to go on[/] (`boxyard` and `python` are those of .venv/bin)\n"
        "  boxyard up             a stack that stays; then, from another terminal here,\n"
        f"  boxyard submit PICTURE --model {MODEL} --wait --save-dir out\n"
        "  python examples/quickstart.py PICTURE    the same from Python\n"
        "  examples/callback_consumer.py            receives signed events; the README starts it",
        highlight=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    main()
