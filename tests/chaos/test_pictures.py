"""Faults 32 to 34: pictures that want memory, and pictures that few expect."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack, contextmanager

from boxyard_schemas import ImageFailure, ImageOutcome, ImageSuccess
from chaos.bombs import bombs, gzip_bomb, odd_pictures
from chaos.callers import Source
from chaos.faults import fault
from chaos.memory import Peak
from chaos.reading import images_of
from chaos.trial import Figures, Trial
from pictures import png, scene
from process import Process
from receivers import Receiver, say


def send(trial: Trial, *sources: Source) -> list[ImageOutcome]:
    """What becomes of each picture of a job, with a good one in front and one behind."""
    good = trial.a.upload(png(scene()))
    job = trial.a.submit(good, *sources, good)
    first, *others, last = images_of(trial.a, job)
    assert labels(first) == labels(last) == ["red"]
    return others


def labels(outcome: ImageOutcome) -> list[str] | None:
    """What was found; None when it failed."""
    return [box.label for box in outcome.boxes] if isinstance(outcome, ImageSuccess) else None


def codes(outcomes: Iterable[ImageOutcome]) -> list[str]:
    return [each.code if isinstance(each, ImageFailure) else "success" for each in outcomes]


@contextmanager
def watched(workers: Iterable[Process]) -> Iterator[Callable[[], int]]:
    """Tells how many megabytes the worker that grew most took, its model's process aside."""
    with ExitStack() as stack:
        peaks = [
            stack.enter_context(Peak(worker.pid, without=worker.await_event("model.warm")["pid"]))
            for worker in workers
        ]
        yield lambda: max(peak.grown for peak in peaks) >> 20


@fault(32, "gzip bomb")
def test_a_gzip_bomb_behind_a_url_is_cut_off_at_the_byte_cap(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """a URL whose gzip body unpacks a thousandfold, to 10 GB in full"""
    bomb = gzip_bomb(scale(slice=1 << 10, full=10 << 10))
    figures["packed MB"] = len(bomb) >> 20
    with (
        Receiver(say(200, bomb, Content_Encoding="gzip")) as server,
        watched(trial.stack.detectors) as grown_mb,
    ):
        (outcome,) = send(trial, Source({"url": f"{server.url}/bomb.png"}))
    assert codes([outcome]) == ["too-large"]
    figures["worker grew by MB"] = grown_mb()
    assert grown_mb() < 200
    trial.conclude(figures)


@fault(33, "image bombs")
def test_picture_bombs_fail_or_cost_no_more_than_an_honest_picture(
    trial: Trial, figures: Figures, scale: Callable[..., int]
) -> None:
    """PNG of 20000² in 48 kB or with 500 MB of text, JPEGs with false headers, a WebP animation"""
    side = scale(slice=3_000, full=7_900)
    wanted = bombs(side)
    with watched(trial.stack.detectors) as grown_mb:
        outcomes = send(trial, *(trial.a.upload(bomb) for bomb in wanted.values()))
    found = dict(zip(wanted, codes(outcomes), strict=True))
    refused = [name for name, code in found.items() if code == "too-many-pixels"]
    assert refused == ["png of 20000² pixels", "jpeg that says 65500²"]
    assert {*found.values()} <= {"too-many-pixels", "undecodable-image", "success"}
    figures["images refused"] = len(refused)
    honest_mb = side**2 * 3 >> 20
    figures["a valid image's MB"], figures["worker grew by MB"] = honest_mb, grown_mb()
    # Two pictures are decoded at once, and two processes map each on its way to the model.
    assert grown_mb() < 4 * honest_mb + 200
    trial.conclude(figures)


@fault(34, "truncated and odd images")
def test_odd_pictures_have_a_clear_outcome_each_and_their_mates_succeed(
    trial: Trial, figures: Figures
) -> None:
    """JPEG cut at 5 to 95 %, EXIF 1 to 8, CMYK, 16 bits, palette, grey, alpha, in one job"""
    pictures = odd_pictures()
    outcomes = send(trial, *(trial.a.upload(data) for data, _ in pictures.values()))
    for (name, (_, expected)), outcome in zip(pictures.items(), outcomes, strict=True):
        found = labels(outcome)
        assert found == expected, f"{name}: {outcome}"
    figures["odd images"] = len(outcomes)
    figures["images refused"] = codes(outcomes).count("undecodable-image")
    trial.conclude(figures)
