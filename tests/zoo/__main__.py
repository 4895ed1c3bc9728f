"""`python -m zoo sweep | sample | report | choose`; `make zoo` and `make zoo-sample` call it."""

from __future__ import annotations

import argparse
import gc
import os
import signal
import sys
import time
from pathlib import Path

from boxyard_schemas.catalogue import catalogue
from zoo.nursery import Limits, Try, raise_outcomes
from zoo.outcomes import Outcome, Task, append_outcome, choose, read_outcomes
from zoo.report import write_report
from zoo.sample import Sample, choose_sample, read_recipes, read_sample, write_sample


def main() -> int:
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that no child is left behind
    options = _parse()
    done = read_outcomes(options.results)
    if options.what == "report":
        write_report(done, options.page)
    elif options.what == "choose":
        operators = {name for outcome in done.values() for name in outcome.operators}
        write_sample(choose_sample(read_recipes(), tuple(sorted(operators))))
    elif options.what == "sweep":
        tasks = [Task(name) for name in dict.fromkeys(options.names)] or _all_tasks()
        sweep(choose(tasks, done, retry=options.retry), options)
        write_report(read_outcomes(options.results), options.page)
    else:
        options.results.unlink(missing_ok=True)
        return _judge(read_sample(), options)
    return 0


def sweep(tasks: list[Task], options: argparse.Namespace) -> list[Outcome]:
    """Tries the tasks, and writes each outcome down as it comes."""
    options.results.parent.mkdir(parents=True, exist_ok=True)
    begun, outcomes = time.monotonic(), []
    limits = Limits(options.seconds, options.mib)
    for outcome in raise_outcomes(tasks, _prepare(options.jobs), jobs=options.jobs, limits=limits):
        append_outcome(options.results, outcome)
        outcomes.append(outcome)
        told = outcome.reason or f"ok, {outcome.found} found"
        seconds, place = time.monotonic() - begun, f"{len(outcomes)}/{len(tasks)}"
        print(f"{seconds:6.0f} s {place:>7} {outcome.task.name}: {told}", flush=True)
    return outcomes


def _judge(sample: Sample, options: argparse.Namespace) -> int:
    outcomes = sweep([Task(name) for name in sample.entries], options)
    failed = [outcome.task.name for outcome in outcomes if outcome.reason]
    called = {name for outcome in outcomes for name in outcome.operators}
    for what, missing in (
        ("Entries without an answer", failed),
        ("Operators that the sample no longer calls", sorted(set(sample.operators) - called)),
        ("Parts that the sample no longer holds", sorted(sample.find_missing(read_recipes()))),
    ):
        if missing:
            print(f"{what}: {', '.join(missing)}", file=sys.stderr)
            failed += missing
    return 1 if failed else 0


def _all_tasks() -> list[Task]:
    """All entries, those that show most first, and one of each class at its own size."""
    sample = read_sample()
    small = [Task(name) for name in dict.fromkeys((*sample.entries, *catalogue()))]
    return small + [Task(name, whole=True) for name in sample.classes.values()]


def _prepare(jobs: int) -> Try:
    """Imports once what every process needs; what is there now is never collected again."""
    import torch

    from zoo.trial import try_entry

    torch.set_num_threads(max(1, (os.cpu_count() or 1) // jobs))
    import boxyard_worker.detector.mmdetection  # noqa: F401

    gc.freeze()
    return try_entry


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="zoo", description=__doc__)
    parser.add_argument("what", choices=["sweep", "sample", "report", "choose"])
    parser.add_argument("names", nargs="*", help="entries; left out, all")
    parser.add_argument("--results", type=Path, default=Path(".zoo/results.jsonl"))
    parser.add_argument("--page", type=Path, default=Path("docs/zoo.md"))
    parser.add_argument("--jobs", type=int, default=1, help="processes at a time")
    parser.add_argument("--retry", action="store_true", help="also what gave no answer before")
    parser.add_argument("--seconds", type=float, default=900.0, help="limit of an entry")
    parser.add_argument("--mib", type=int, default=8192, help="limit of an entry's memory")
    return parser.parse_intermixed_args()


if __name__ == "__main__":
    sys.exit(main())
