"""`boxyard submit`: folders and patterns, what is left out, what is saved, and early ends."""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from PIL import Image

from boxyard_schemas import JobResult
from chaos.proxy import Proxy

from .conftest import BOXYARD, Boxyard, RunningStack, outside, until

MODEL = ("--model", "rtmdet-ins_demo")


@pytest.fixture
def folder(tmp_path: Path, picture: Path) -> Path:
    """Images in a folder and below it, beside files that are none."""
    places = ("b/1.png", "a/1.png", "a/deep/2.PNG", ".hidden/3.png", "a/.4.png")
    for place in places:
        path = tmp_path / "set" / place
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(picture, path)
    (tmp_path / "set" / "a" / "labels.json").write_text("{}")
    (tmp_path / "set" / "README").touch()
    (tmp_path / "bare").mkdir()
    return tmp_path / "set"


def references(stdout: str) -> list[str | None]:
    results = [JobResult.model_validate_json(line) for line in stdout.splitlines()]
    return [image.reference for result in results for image in result.images]


def test_a_folder_stands_for_the_images_in_it_and_below_it(
    stack: RunningStack, boxyard: Boxyard, folder: Path
) -> None:
    done = boxyard("submit", "set", *MODEL, "--wait", "--json", environment=stack.environment)
    assert done.returncode == 0, done.stderr
    assert references(done.stdout) == ["set/a/1.png", "set/a/deep/2.PNG", "set/b/1.png"]
    assert "set: 3 images; left out: " in done.stderr
    assert "1 .json" in done.stderr


def test_a_quoted_pattern_stands_for_what_it_matches(
    stack: RunningStack, boxyard: Boxyard, folder: Path
) -> None:
    shutil.copy(folder / "a" / "1.png", folder / "x[1].png")
    words = ("submit", "set/**/1.png", "set/x[1].png", "set/a/dee*", *MODEL, "--wait", "--json")
    done = boxyard(*words, environment=stack.environment)
    assert done.returncode == 0, done.stderr
    expected = ["set/a/1.png", "set/b/1.png", "set/x[1].png", "set/a/deep/2.PNG"]
    assert references(done.stdout) == expected


@pytest.mark.parametrize(
    ("argument", "said"),
    [
        ("bare", "bare: no images in it (.bmp, "),
        ("set/*.gif", "set/*.gif: no file matches this pattern"),
        ("htp://p.example/a.jpg", "did you mean http://"),
        ("missing.jpg", "missing.jpg: No such file or directory"),
        ("x" * 5000, "(5000 characters)"),
    ],
)
def test_nothing_to_submit_is_one_line_and_needs_no_server(
    boxyard: Boxyard, folder: Path, argument: str, said: str
) -> None:
    done = boxyard("submit", argument, *MODEL)
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = done.stderr.splitlines()
    assert said in line
    assert len(line) < 300


def test_what_cannot_be_used_is_left_out_and_the_rest_is_submitted(
    stack: RunningStack, boxyard: Boxyard, folder: Path
) -> None:
    (folder / "empty.jpg").touch()
    os.mkfifo(folder / "pipe.jpg")
    words = ("submit", "set", "missing.jpg", *MODEL, "--wait", "--json")
    done = boxyard(*words, environment=stack.environment)
    assert done.returncode == 1
    assert len(references(done.stdout)) == 3
    for said in ("set/empty.jpg: the file is empty", "set/pipe.jpg: is a pipe", "missing.jpg: No"):
        assert said in done.stderr


def test_drawn_images_of_equal_base_names_stay_apart_and_nothing_is_overwritten(
    stack: RunningStack, boxyard: Boxyard, folder: Path
) -> None:
    shutil.copy(folder / "a" / "1.png", folder / "1-2.png")
    shutil.copy(folder / "a" / "1.png", folder / "1.jpg")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    words = ("submit", "set", *MODEL, "--save-dir", "set")
    done = boxyard(*words, environment=stack.environment)
    assert done.returncode == 0, done.stderr
    assert all(path.read_bytes() == data for path, data in before.items())
    drawn = {path.name for path in folder.glob("*.jpg")} - {"1.jpg"}
    assert drawn == {"set-1.jpg", "set-a-1.jpg", "set-b-1.jpg", "1-2.jpg", "2.jpg"}
    assert "1 JSON files, 5 drawn images" in done.stderr


@contextmanager
def submitting(
    environment: Mapping[str, str], folder: Path, *words: str
) -> Iterator[subprocess.Popen[str]]:
    """The command with 32 images that are done soon, and one whose server never answers."""
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/never.jpg"
        command = [*BOXYARD, "submit", *["square.png"] * 32, url, *MODEL, *words]
        with subprocess.Popen(
            command,
            env=outside() | dict(environment),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield process
            finally:
                process.kill()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_prints_what_has_ended_and_what_goes_on(
    stack: RunningStack, picture: Path, number: signal.Signals
) -> None:
    with submitting(stack.environment, picture.parent, "--wait", "--json") as process:
        assert process.stdout
        assert process.stderr
        first = JobResult.model_validate_json(process.stdout.readline())
        process.send_signal(number)
        output, said = process.communicate(timeout=60)
    assert process.returncode == 128 + number
    assert len(first.images) == 32
    (left,) = map(json.loads, output.splitlines())
    assert left["state"] in ("queued", "running")
    assert "1 jobs were accepted and go on" in said
    assert left["id"] in said
    assert first.job not in said
    with stack.client() as client:
        client.cancel(left["id"])


def test_a_time_limit_is_for_all_jobs_and_names_those_that_go_on(
    stack: RunningStack, picture: Path
) -> None:
    with submitting(stack.environment, picture.parent, "--wait", "--timeout", "3") as process:
        _, said = process.communicate(timeout=60)
    assert process.returncode == 1
    assert "1 jobs have not ended in time" in said
    job_id = next(word for word in said.split() if word.startswith("job_"))
    with stack.client() as client:
        assert client.cancel(job_id).images.total == 1


def test_a_server_that_goes_away_leaves_what_has_ended_and_the_ids_of_the_rest(
    stack: RunningStack, picture: Path
) -> None:
    port = int(stack.credentials.url.rpartition(":")[2])
    with Proxy(port) as proxy:
        environment = stack.environment | {"BOXYARD_URL": proxy.url}
        with submitting(environment, picture.parent, "--wait", "--json") as process:
            assert process.stdout
            first = JobResult.model_validate_json(process.stdout.readline())
            proxy.close()
            output, said = process.communicate(timeout=60)
    assert process.returncode == 1
    (left,) = map(json.loads, output.splitlines())
    assert left["id"] != first.job
    assert left["id"] in said
    assert "cannot be reached" in said
    with stack.client() as client:
        client.cancel(left["id"])


def test_a_drawing_that_fails_leaves_the_others(
    stack: RunningStack, boxyard: Boxyard, folder: Path, picture: Path
) -> None:
    with Image.open(picture) as image:
        image.save(folder / "b" / "bad.jpg")
    data = (folder / "b" / "bad.jpg").read_bytes()
    (folder / "b" / "bad.jpg").write_bytes(data[: len(data) // 2])
    words = ("submit", "set/b", *MODEL, "--save-dir", "out")
    done = boxyard(*words, environment=stack.environment)
    assert (folder.parent / "out" / "1.jpg").exists(), done.stderr


@pytest.mark.parametrize(
    ("number", "words"), [(signal.SIGINT, ["--json"]), (signal.SIGTERM, ["--json", "--wait"])]
)
def test_every_job_is_printed_whenever_signals_arrive(
    stack: RunningStack, picture: Path, number: signal.Signals, words: list[str]
) -> None:
    command = [*BOXYARD, "submit", *["square.png"] * 320, *MODEL, *words]
    with stack.client() as client:
        before = {job.id for job in client.iter_jobs()}
        with subprocess.Popen(
            command,
            env=outside() | stack.environment,
            cwd=picture.parent,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        ) as process:
            until(lambda: {job.id for job in client.page().jobs} - before)
            for _ in range(3):
                time.sleep(random.uniform(0, 0.1))  # the moment is what the test is about
                process.send_signal(number)
            output, said = process.communicate(timeout=60)
        printed = [json.loads(line) for line in output.splitlines()]
        accepted = {job.id for job in client.iter_jobs()} - before
    assert sorted(each.get("job") or each["id"] for each in printed) == sorted(accepted), said
    assert process.returncode in (0, 128 + number)
