"""The command line as its users run it, against a whole stack."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import httpx
from PIL import Image

from boxyard_producer import Client
from boxyard_schemas import Callback, Delivery, JobResult, JobState, new_id

from .conftest import (
    BOXYARD,
    Boxyard,
    RunningStack,
    children,
    descendants,
    lives,
    outside,
    until,
)

EXAMPLES = Path(__file__).parents[2] / "examples"
MODEL = ("--model", "rtmdet-ins_demo")
LEGACY = "vfnet_r50_fpn_mdconv_c3-c5_mstrain_2x_coco"


def test_pictures_are_submitted_and_what_was_found_is_printed_and_saved(
    stack: RunningStack, boxyard: Boxyard, picture: Path, tmp_path: Path
):
    words = ("submit", picture.name, *MODEL, "--wait", "--save-dir", "out")
    done = boxyard(*words, environment=stack.environment)
    assert done.returncode == 0, done.stderr
    assert "square.png" in done.stdout
    (saved,) = (tmp_path / "out").glob("job_*.json")
    (image,) = JobResult.model_validate_json(saved.read_bytes()).images
    assert image.status == "succeeded"
    (found,) = image.boxes
    assert found.label in done.stdout
    with Image.open(tmp_path / "out" / "square.jpg") as drawn:
        assert drawn.size == (200, 160)


def test_many_pictures_become_several_jobs_and_none_overwrites_another(
    stack: RunningStack, boxyard: Boxyard, picture: Path, tmp_path: Path
):
    words = ("submit", *[picture.name] * 33, *MODEL, "--json", "--save-dir", "out")
    done = boxyard(*words, environment=stack.environment)
    results = [JobResult.model_validate_json(line) for line in done.stdout.splitlines()]
    assert sorted(len(result.images) for result in results) == [1, 32]
    assert len(list((tmp_path / "out").glob("*.jpg"))) == 33


def test_json_alone_leaves_by_stdout(stack: RunningStack, boxyard: Boxyard, picture: Path):
    enqueued = boxyard("submit", picture.name, *MODEL, "--json", environment=stack.environment)
    job = json.loads(enqueued.stdout)
    waited = boxyard(
        "submit", picture.name, *MODEL, "--wait", "--json", environment=stack.environment
    )
    assert job["state"] in ("queued", "running")
    assert JobResult.model_validate_json(waited.stdout).images[0].reference == "square.png"


def test_thresholds_and_mask_forms_reach_the_model(
    stack: RunningStack, boxyard: Boxyard, picture: Path
):
    words = ("submit", picture.name, *MODEL, "--wait", "--json", "--masks", "rle")
    done = boxyard(*words, "--score-threshold", "0", environment=stack.environment)
    (found,) = json.loads(done.stdout)["images"][0]["boxes"]
    assert found["mask"]["size"] == [160, 200]
    assert "polygon" not in found


def test_a_picture_that_cannot_be_read_is_a_line_in_red_beside_its_mates(
    stack: RunningStack, boxyard: Boxyard, picture: Path, tmp_path: Path
):
    (tmp_path / "torn.png").write_bytes(picture.read_bytes()[:60])
    words = ("submit", "torn.png", picture.name, *MODEL, "--wait", "--save-dir", "out")
    done = boxyard(*words, environment=stack.environment)
    assert done.returncode == 0, done.stderr
    assert "undecodable-image" in done.stdout
    assert (tmp_path / "out" / "square.jpg").exists()
    assert not (tmp_path / "out" / "torn.jpg").exists()


def test_jobs_are_listed_shown_and_read_again(stack: RunningStack, boxyard: Boxyard, picture: Path):
    with stack.client() as client:
        job = client.submit(MODEL[1], picture, metadata={"shelf": "7"})
        client.wait(job.id, timeout_s=60)
    listed = boxyard("jobs", environment=stack.environment)
    shown = boxyard("jobs", "show", job.id, environment=stack.environment)
    again = boxyard("jobs", "result", job.id, environment=stack.environment)
    cancelled = boxyard("jobs", "cancel", job.id, "--json", environment=stack.environment)
    assert job.id in listed.stdout
    assert "succeeded" in shown.stdout
    assert "shelf 7" in shown.stdout
    assert "square.png" in again.stdout
    assert json.loads(cancelled.stdout)["state"] == "succeeded"


def test_models_say_who_serves_them(stack: RunningStack, boxyard: Boxyard):
    done = boxyard("models", environment=stack.environment)
    first = done.stdout.splitlines()[1]
    assert first.startswith("rtmdet-ins_demo")
    assert "1 warm" in first


def test_models_are_filtered_and_one_is_shown_whole(stack: RunningStack, boxyard: Boxyard):
    words = (
        "models",
        "--task",
        "instance-segmentation",
        "--min-mask-ap",
        "43",
        "--max-size",
        "640",
    )
    some = boxyard(*words, "--text", "rtmdet", "--json", environment=stack.environment)
    found = [json.loads(line) for line in some.stdout.splitlines()]
    assert {model["family"] for model in found} == {"RTMDet"}
    assert all(model["mask_ap"] >= 43 for model in found)
    served = boxyard("models", "--served", "--json", environment=stack.environment)
    assert [json.loads(line)["name"] for line in served.stdout.splitlines()] == ["rtmdet-ins_demo"]
    none = boxyard("models", "--family", "nobody's", environment=stack.environment)
    assert (none.stdout, none.stderr) == ("", "No model fits all of that.\n")
    shown = boxyard("models", "show", "mmd-3x-rtmdet-ins_demo", environment=stack.environment)
    assert {"256x256", "arxiv.org", "detect.rtmdet-ins_demo", "red"} <= set(
        re.findall(r"[\w.-]+", shown.stdout)
    )


def test_a_deprecated_name_is_a_line_beside_what_was_asked_for(
    stack: RunningStack, boxyard: Boxyard
):
    shown = boxyard("models", "show", LEGACY, "--json", environment=stack.environment)
    name = json.loads(shown.stdout)["name"]
    assert shown.stderr == f"{LEGACY} is a deprecated name: use {name}.\n"
    words = ("submit", "https://pictures.invalid/none.jpg", "--model", LEGACY, "--json")
    submitted = boxyard(*words, environment=stack.environment)
    assert json.loads(submitted.stdout)["model"] == name
    assert shown.stderr in submitted.stderr
    with stack.client() as client:
        client.delete(json.loads(submitted.stdout)["id"])


def test_errors_are_one_line_that_says_what_to_do(
    stack: RunningStack, boxyard: Boxyard, picture: Path
):
    def fails(*words: str, **environment: str) -> str:
        done = boxyard(*words, environment=stack.environment | environment)
        assert done.returncode == 1
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        return line

    assert "square.pgn: No such file" in fails("submit", "square.pgn", *MODEL)
    assert "rtmdet-ins_demo" in fails("submit", picture.name, "--model", "rtmdet-ins_demi")
    prompt = ("--text-prompt", "red")
    assert "models take a prompt" in fails("submit", picture.name, *MODEL, *prompt)
    assert "text_prompt" in fails("submit", picture.name, *MODEL, "--text-prompt", " ")
    assert "key" in fails("models", BOXYARD_API_KEY="wrong").lower()
    assert "no job" in fails("jobs", "show", new_id("job")).lower()
    assert "boxyard up" in fails("models", BOXYARD_URL="http://127.0.0.1:9")


def test_without_a_key_or_a_stack_here_the_way_to_one_is_shown(boxyard: Boxyard):
    done = boxyard("models")
    assert done.returncode == 1
    assert "BOXYARD_API_KEY" in done.stderr
    assert "`boxyard up`" in done.stderr


def test_an_operators_command_that_finds_no_redis_says_how_to_name_one(boxyard: Boxyard):
    nowhere = {"BOXYARD_REDIS_URL": "redis://127.0.0.1:9/0"}
    done = boxyard("tenants", "list", environment=nowhere)
    assert done.returncode == 1
    assert "BOXYARD_REDIS_URL" in done.stderr
    assert ". .boxyard/env" in done.stderr


def test_the_file_of_a_stack_tells_a_shell_all_that_operators_need(stack: RunningStack):
    file = stack.data / "env"
    assert file.stat().st_mode & 0o777 == 0o600
    told = _in_shell_of(
        stack,
        "tenants create by-hand",
        "models --served",
        "keys create --tenant by-hand --scope read",
    )
    assert "1 warm" in told
    key = told.split()[-1]
    with Client(stack.credentials.url, key) as client:
        assert list(client.iter_jobs()) == []


def test_wrong_usage_is_exit_code_2(boxyard: Boxyard):
    assert boxyard("up", "--allow-network", "300.0.0.0/8").returncode == 2


def test_the_version_is_said(boxyard: Boxyard):
    assert boxyard("--version").stdout.startswith("boxyard 0.")


def test_the_example_consumer_verifies_events_and_refuses_forgeries(
    stack: RunningStack, picture: Path
):
    environment = {"BOXYARD_WEBHOOK_SECRET": stack.credentials.webhook_secret}
    uvicorn = [sys.executable, "-m", "uvicorn", "callback_consumer:app", "--port", "0"]
    with subprocess.Popen(
        [*uvicorn, "--app-dir", str(EXAMPLES)],
        env=outside() | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as consumer:
        guard = threading.Timer(150, consumer.kill)
        guard.start()
        try:
            assert consumer.stdout
            running = next(line for line in consumer.stdout if "running on" in line)
            url = running.partition("running on ")[2].split()[0] + "/boxyard"
            assert httpx.post(url, content=b"{}", timeout=60).status_code == 401
            with stack.client() as client:
                delivery = Delivery(callback=Callback.model_validate({"url": url}))
                job = client.submit(MODEL[1], picture, delivery=delivery)
            assert f"verified job.succeeded {job.id}\n" in consumer.stdout
        finally:
            guard.cancel()
            consumer.kill()


def test_the_quickstart_says_what_is_in_a_picture(stack: RunningStack, picture: Path):
    done = subprocess.run(
        [sys.executable, str(EXAMPLES / "quickstart.py"), str(picture)],
        env=outside() | stack.environment,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    assert done.stdout.split() == [str(picture), "red", "1.00"]


def test_a_worker_that_was_killed_is_back_and_works(
    stack: RunningStack, boxyard: Boxyard, picture: Path
):
    (detect,) = [pid for pid in children(stack.process.pid) if "detect" in _command(pid)]
    os.kill(detect, 9)
    until(lambda: stack.says("detect ended with signal SIGKILL; starting it again"))
    words = ("submit", picture.name, *MODEL, "--wait", "--timeout", "90")
    done = boxyard(*words, environment=stack.environment)
    assert done.returncode == 0, done.stderr


def test_redis_that_was_killed_is_back_with_every_job(
    stack: RunningStack, boxyard: Boxyard, picture: Path
):
    with stack.client() as client:
        job = client.submit(MODEL[1], picture)
    (redis,) = [
        pid for pid in children(stack.process.pid) if "-server 127.0.0.1:" in _command(pid)[0]
    ]
    os.kill(redis, 9)
    until(lambda: stack.says("redis ended; starting it again"))
    with stack.client() as client:
        # A claim whose answer was lost with Redis holds the job until its lease is over.
        assert client.wait(job.id, timeout_s=150).state is JobState.SUCCEEDED
        again = client.submit(MODEL[1], picture)
        assert client.wait(again.id, timeout_s=90).state is JobState.SUCCEEDED


def test_a_stack_whose_weights_cannot_be_read_says_why_and_stops(boxyard: Boxyard, tmp_path: Path):
    done = boxyard("up", "--port", "0", "--data", str(tmp_path), "--weights", "gone.safetensors")
    assert done.returncode == 1
    assert "gone.safetensors cannot be read" in " ".join(done.stderr.split())


def test_a_second_stack_cannot_take_the_same_data(stack: RunningStack, boxyard: Boxyard):
    done = boxyard("up", "--port", "0", "--data", str(stack.data))
    assert done.returncode == 1
    assert "--data" in done.stderr


def test_sigterm_leaves_no_process_and_a_restart_keeps_jobs_and_keys(tmp_path: Path):
    first = RunningStack(tmp_path / "data", outside())
    try:
        until(lambda: first.says("webhook secret:"), limit_s=150)
        known = first.credentials
        with first.client() as client:
            job = client.submit(MODEL[1], "https://pictures.invalid/none.jpg")
        family = descendants(first.process.pid)
        assert len(family) >= 6
    finally:
        assert first.stop() == 0
    assert not [pid for pid in family if lives(pid)]
    second = RunningStack(tmp_path / "data", outside())
    try:
        until(lambda: second.says("webhook secret:"), limit_s=150)
        assert second.credentials.api_key == known.api_key
        with second.client() as client:
            assert client.job(job.id).id == job.id
    finally:
        second.stop()


def test_a_kill_leaves_no_process_and_a_stack_whose_key_was_revoked_says_so(tmp_path: Path):
    first = RunningStack(tmp_path / "data", outside())
    try:
        until(lambda: first.says("webhook secret:"), limit_s=150)
        _in_shell_of(first, f"keys revoke key_{'0' * 32} --tenant default")
        family = descendants(first.process.pid)
        first.process.kill()
        until(lambda: not [pid for pid in family if lives(pid)])
    finally:
        first.stop()
    second = RunningStack(tmp_path / "data", outside())
    assert second.process.wait(150) == 1
    second.stop()
    assert "api_key" in second.text


def _in_shell_of(stack: RunningStack, *commands: str) -> str:
    """What commands say in a shell that has read the stack's file."""
    lines = [f". {stack.data / 'env'}", *(f"{' '.join(BOXYARD)} {words}" for words in commands)]
    return subprocess.run(
        ["bash", "-euc", "\n".join(lines)],
        env=outside(),
        cwd=stack.data,
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    ).stdout


def _command(pid: int) -> list[str]:
    return Path(f"/proc/{pid}/cmdline").read_text().split("\0")
