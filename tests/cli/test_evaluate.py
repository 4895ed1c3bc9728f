"""`boxyard evaluate` as its users run it, against a whole stack with the stand-in for the model."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image, ImageDraw
from pycocotools import mask as rle

from boxyard_schemas import JobState
from chaos.proxy import Proxy

from .conftest import BOXYARD, Boxyard, RunningStack, outside

UNSERVED = "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco"
COLOURS = {"red": (230, 10, 10), "green": (10, 230, 10), "blue": (10, 10, 230)}


@pytest.fixture
def coloured(tmp_path: Path) -> Path:
    """Ten pictures of a square each, and what they show; it is the folder of `truth.json`."""
    images, annotations = [], []
    for number in range(1, 11):
        size, side = (100 + number, 80), 30 + number
        canvas = Image.new("RGB", size, (128, 128, 128))
        name = ("red", "green")[number % 2]
        ImageDraw.Draw(canvas).rectangle((5, 7, 4 + side, 6 + side), fill=COLOURS[name])
        canvas.save(tmp_path / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": size[0], "height": 80})
        polygon = [5, 7, 5 + side, 7, 5 + side, 7 + side, 5, 7 + side]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1 + number % 2, "iscrowd": 0,
             "bbox": [5, 7, side, side], "area": side * side, "segmentation": [polygon]}
        )  # fmt: skip
    categories = [{"id": id, "name": name} for id, name in enumerate(COLOURS, 1)]
    truth = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "truth.json").write_text(json.dumps(truth))
    return tmp_path


def words(folder: Path, *more: str, model: str = "mmd-3x-rtmdet-ins_demo") -> list[str]:
    named = ["--annotations", str(folder / "truth.json"), "--images", str(folder)]
    return ["evaluate", "--model", model, *named, *more]


def test_a_set_goes_through_the_queue_and_nothing_of_it_stays(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    with stack.client() as client:
        before = {job.id for job in client.iter_jobs()}
    done = boxyard(
        *words(coloured, "--json", "--save", "found.json"), environment=stack.environment
    )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert (said["model"], said["images"], said["failed"]) == ("rtmdet-ins_demo", 10, 0)
    assert said["bbox"]["AP"] == said["segm"]["AP"] == pytest.approx(1)
    assert "10/10" in done.stderr
    results = json.loads((coloured / "found.json").read_text())
    assert [result["image_id"] for result in results] == list(range(1, 11))
    assert results[0]["bbox"] == [5, 7, 31, 31]
    assert rle.area(results[0]["segmentation"]) == 31 * 31
    with stack.client() as client:
        assert {job.id for job in client.iter_jobs()} <= before


def test_figures_are_a_table_and_a_picture_that_cannot_be_read_is_named(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    whole = (coloured / "2.png").read_bytes()
    (coloured / "2.png").write_bytes(whole[: len(whole) // 2])
    done = boxyard(*words(coloured, "--limit", "3"), environment=stack.environment)
    assert done.returncode == 1
    assert "2.png: undecodable-image" in done.stderr
    rows = [line.split() for line in done.stdout.splitlines()]
    assert rows[0] == ["rtmdet-ins_demo", "on", "3", "pictures"]
    assert ["Figure", "boxes", "masks"] in rows
    assert any(row[:1] == ["AR100"] and row[1] == row[2] != "1.000" for row in rows)


def test_labels_that_the_set_does_not_know_are_refused_before_anything_is_sent(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    truth = json.loads((coloured / "truth.json").read_text())
    truth["categories"][2]["name"] = "azure"
    (coloured / "truth.json").write_text(json.dumps(truth))
    done = boxyard(*words(coloured), environment=stack.environment)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert "labels blue are no categories" in line


def test_a_damaged_file_is_refused_before_anything_is_sent(
    boxyard: Boxyard, coloured: Path
) -> None:
    truth = json.loads((coloured / "truth.json").read_text())
    truth["annotations"][3]["bbox"] = [5, 7, float("nan"), 30]
    truth["annotations"][4]["segmentation"] = {"size": [80, 105], "counts": "o" * 30}
    truth["images"][5]["file_name"] = "away.png"
    (coloured / "truth.json").write_text(json.dumps(truth))
    nowhere = {"BOXYARD_URL": "http://127.0.0.1:9", "BOXYARD_API_KEY": "none"}
    done = boxyard(*words(coloured), environment=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()
    assert "truth.json cannot be used" in said[0]
    assert [line.strip() for line in said[1:]] == [
        "The image file is missing: image 6 (away.png).",
        "`bbox` is not a finite number: annotation 4 (image 4): nan.",
        "The compressed run lengths are damaged: annotation 5 (image 5).",
    ]


def test_a_file_that_cannot_be_saved_is_known_before_anything_is_sent(
    boxyard: Boxyard, coloured: Path
) -> None:
    nowhere = {"BOXYARD_URL": "http://127.0.0.1:9", "BOXYARD_API_KEY": "none"}
    done = boxyard(*words(coloured, "--save", "away/found.json"), environment=nowhere)
    assert done.returncode == 1
    assert "away/found.json: No such file or directory" in done.stderr


@pytest.mark.parametrize("target", ["truth.json", "./3.png", "link.json", "hard.json"])
def test_a_file_that_is_read_is_never_saved_over(
    boxyard: Boxyard, coloured: Path, target: str
) -> None:
    (coloured / "link.json").symlink_to("truth.json")
    (coloured / "hard.json").hardlink_to(coloured / "truth.json")
    before = {path: path.read_bytes() for path in coloured.iterdir()}
    nowhere = {"BOXYARD_URL": "http://127.0.0.1:9", "BOXYARD_API_KEY": "none"}
    done = boxyard(*words(coloured, "--save", target), environment=nowhere)
    assert (done.returncode, done.stdout) == (1, "")
    assert f"--save {Path(target)} would overwrite {coloured}" in done.stderr
    assert {path: path.read_bytes() for path in coloured.iterdir()} == before


def test_what_is_repaired_is_said_and_judged_alike(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    truth = json.loads((coloured / "truth.json").read_text())
    for each in truth["annotations"]:
        each |= {"id": each["id"] - 1, "image_id": str(each["image_id"])}
        del each["iscrowd"], each["area"]
    truth["categories"].insert(0, {"id": 0, "name": "red", "supercategory": "none"})
    (coloured / "truth.json").write_text(json.dumps(truth), encoding="utf-8-sig")
    done = boxyard(*words(coloured, "--json"), environment=stack.environment)
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["bbox"]["AP"] == said["segm"]["AP"] == pytest.approx(1)
    for repair in ("id 0", "Numbers written as text", "`iscrowd`", "`area`", "category 0"):
        assert repair in done.stderr


def test_a_set_of_which_nothing_matched_is_no_success(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    truth = json.loads((coloured / "truth.json").read_text())
    for each in truth["annotations"]:
        each |= {"bbox": [60, 50, 12, 12], "segmentation": []}
    (coloured / "truth.json").write_text(json.dumps(truth))
    done = boxyard(*words(coloured, "--limit", "2", "--json"), environment=stack.environment)
    assert done.returncode == 1
    assert json.loads(done.stdout)["bbox"]["AP"] == 0
    assert "None of the boxes that the model found matches an annotation" in done.stderr


def test_a_set_of_which_no_mask_matched_is_no_success(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    truth = json.loads((coloured / "truth.json").read_text())
    for each in truth["annotations"]:
        each["segmentation"] = [[60, 50, 72, 50, 72, 62]]
    (coloured / "truth.json").write_text(json.dumps(truth))
    done = boxyard(*words(coloured, "--limit", "2", "--json"), environment=stack.environment)
    assert done.returncode == 1
    said = json.loads(done.stdout)
    assert (said["bbox"]["AP"], said["segm"]["AP"]) == (pytest.approx(1), 0)
    assert "None of the masks that the model found matches an annotation" in done.stderr
    assert "None of the boxes" not in done.stderr


def test_a_set_of_which_nothing_can_match_is_refused(
    stack: RunningStack, boxyard: Boxyard, coloured: Path
) -> None:
    truth = json.loads((coloured / "truth.json").read_text())
    for each in truth["annotations"]:
        each["iscrowd"] = 1
    (coloured / "truth.json").write_text(json.dumps(truth))
    done = boxyard(*words(coloured), environment=stack.environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert "Nothing could be judged" in done.stderr


def test_a_server_that_is_away_in_the_middle_is_waited_for(
    stack: RunningStack, coloured: Path
) -> None:
    port = int(stack.credentials.url.rpartition(":")[2])
    with (
        Proxy(port) as line,
        line.hold(b"POST /v1/jobs", answer=False) as hold,
        subprocess.Popen(
            [*BOXYARD, *words(coloured, "--json")],
            env=outside() | stack.environment | {"BOXYARD_URL": line.url},
            stdout=subprocess.PIPE,
            text=True,
        ) as running,
    ):
        try:
            hold.wait()
            line.refuses = True
            line.reset()
            time.sleep(10)  # the client's ordinary five tries are over by then
            line.refuses = False
            said, _ = running.communicate(timeout=150)
        finally:
            running.kill()
    assert running.returncode == 0
    assert json.loads(said)["images"] == 10


@pytest.fixture
def _interruptible() -> Iterator[None]:
    """Children hear Ctrl-C though the tests run in the background, where it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_takes_what_waits_out_of_the_queue(stack: RunningStack, coloured: Path) -> None:
    def waiting() -> int:
        with stack.client() as client:
            return sum(job.model == UNSERVED for job in client.iter_jobs(JobState.QUEUED))

    with subprocess.Popen(
        [*BOXYARD, *words(coloured, "--in-flight", "1", model=UNSERVED)],
        env=outside() | stack.environment,
        stderr=subprocess.PIPE,
        text=True,
    ) as running:
        try:
            assert running.stderr
            # Said when the job is accepted, which is after it can be seen in the queue.
            assert any(f"No worker serves {UNSERVED}" in line for line in running.stderr)
            assert waiting() == 1  # ten pictures are two jobs, one at a time
            os.kill(running.pid, signal.SIGINT)
            running.wait(60)
        finally:
            running.kill()
    assert running.returncode == 130
    assert waiting() == 0


@pytest.mark.usefixtures("_interruptible")
def test_ctrl_c_ends_promptly_while_the_server_is_away(stack: RunningStack, coloured: Path) -> None:
    port = int(stack.credentials.url.rpartition(":")[2])
    with (
        Proxy(port) as line,
        subprocess.Popen(
            [*BOXYARD, *words(coloured, "--in-flight", "1", model=UNSERVED)],
            env=outside() | stack.environment | {"BOXYARD_URL": line.url},
            stderr=subprocess.PIPE,
            text=True,
        ) as running,
    ):
        try:
            assert running.stderr
            assert any(f"No worker serves {UNSERVED}" in said for said in running.stderr)
            line.refuses = True
            line.reset()
            os.kill(running.pid, signal.SIGINT)
            running.wait(30)
        finally:
            running.kill()
    assert running.returncode == 130
    with stack.client() as client:
        for job in client.iter_jobs(JobState.QUEUED):
            client.cancel(job.id)
