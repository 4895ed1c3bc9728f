"""What an operator sees of a stack that has done some work: its figures and its logs.

One stack serves all these tests. Each process shows its figures on a port of its own.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from boxyard_ledger import EmbeddedRedis, LedgerSettings
from boxyard_producer import Client
from boxyard_schemas import Delivery, UploadImage
from boxyard_schemas.errors import UnknownJob
from compose.board import queries_of, read_panels
from pictures import png, scene
from process import PATIENCE_S, Process, await_true
from receivers import Receiver, say
from server_process import ServerProcess
from yard import MODEL

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()
ALERTS = yaml.safe_load((ROOT / "deploy" / "prometheus" / "alerts.yml").read_text())
RULES = [rule for group in ALERTS["groups"] for rule in group["rules"]]
ASKED = {rule["alert"]: [rule["expr"]] for rule in RULES} | {
    panel["title"]: queries_of(panel) for panel in read_panels()
}
KEY, UNSERVED = "key-of-the-tenant", "vfnet_r50_fpn_1x_coco"
Samples = dict[str, dict[frozenset[tuple[str, str]], float]]


class Stack:
    """Four processes, their logs, and the ends of the jobs that went through."""

    def __init__(self, folder: Path, redis: EmbeddedRedis, processes: ExitStack) -> None:
        self.redis = redis
        ledger = LedgerSettings(redis_url=redis.url, blob_url=(folder / "blobs").as_uri())
        self.server = ServerProcess(
            folder,
            ledger,
            metrics_port=0,
            api_key=KEY,
            webhook_secret="whsec_c2VjcmV0",
            allowed_networks="127.0.0.0/8",
        )
        processes.callback(self.server.close)
        environment = {
            **os.environ,
            "BOXYARD_REDIS_URL": redis.url,
            "BOXYARD_BLOB_URL": ledger.blob_url,
            "BOXYARD_ALLOWED_NETWORKS": "127.0.0.0/8",
            "BOXYARD_ALLOWED_PORTS": "",
            "BOXYARD_METRICS_PORT": "0",
            "BOXYARD_MAX_REST_S": "600",
            "BOXYARD_DETECTOR": "standin",
            "BOXYARD_LOG_LEVEL": "debug",
        }
        self.detect, self.deliver, self.sweep = (
            Process(name, [sys.executable, "-m", "boxyard_worker.cli", name], environment, folder)
            for name in ("detect", "deliver", "sweep")
        )
        for each in (self.detect, self.deliver, self.sweep):
            processes.callback(each.close)

    @property
    def processes(self) -> tuple[Process, ...]:
        return self.server, self.detect, self.deliver, self.sweep

    def scrape(self, process: Process) -> Samples:
        port = process.await_event("metrics.served")["port"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=30) as answer:
            text = answer.read().decode()
        found: Samples = {}
        for family in text_string_to_metric_families(text):
            for sample in family.samples:
                found.setdefault(sample.name, {})[frozenset(sample.labels.items())] = sample.value
        return found

    def value(self, process: Process, name: str, **labels: str) -> float:
        return self.scrape(process).get(name, {}).get(frozenset(labels.items()), 0)

    def lines(self, word: str) -> list[tuple[str, dict[str, Any]]]:
        """What any process logged that has this word, in the order of time."""
        found = [
            (process.name, json.loads(line))
            for process in self.processes
            for line in process.lines()
            if line.startswith("{") and word in line
        ]
        return sorted(found, key=lambda each: each[1]["timestamp"])


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    folder = tmp_path_factory.mktemp("stack")
    with EmbeddedRedis(folder / "redis") as redis, ExitStack() as processes:
        stack = Stack(folder, redis, processes)
        stack.detect.await_event("worker.ready")
        yield stack


@pytest.fixture(scope="module")
def jobs(stack: Stack) -> Iterator[dict[str, str]]:
    """One job that is delivered, one whose receiver wants a rest, one that failed, was cancelled,
    and one that nobody serves."""
    with (
        Client(stack.server.url, KEY) as client,
        Receiver() as receiver,
        Receiver(say(503, Retry_After="600")) as tired,
    ):

        def submit(data: bytes, model: str = MODEL, url: str = "") -> str:
            image = UploadImage(upload=client.upload(data).id)
            told = Delivery.model_validate({"callback": {"url": url}} if url else {})
            return client.submit(model, [image], delivery=told).id

        made = {
            "delivered": submit(png(scene()), url=receiver.url),
            "refused": submit(png(scene()), url=tired.url),
            "failed": submit(b"\xff\xd8\xff no picture"),
            "waiting": submit(png(scene()), UNSERVED),
        }
        made["cancelled"] = submit(png(scene()), UNSERVED)
        client.cancel(made["cancelled"])
        for name in ("delivered", "refused", "failed"):
            client.wait(made[name], timeout_s=PATIENCE_S)
        await_true(lambda: bool(receiver.requests and tired.requests), "the callbacks")
        attempted = "boxyard_delivery_attempts_total"
        await_true(lambda: len(stack.scrape(stack.deliver).get(attempted, ())) == 2, attempted)
        with pytest.raises(UnknownJob):
            client.job("job_" + "0" * 32)
        yield made


def test_the_server_shows_queues_workers_steps_and_requests(
    stack: Stack, jobs: dict[str, str]
) -> None:
    def shown(name: str, **labels: str) -> float:
        return stack.value(stack.server, f"boxyard_{name}", **labels)

    assert shown("jobs_ready", model=UNSERVED, priority="normal") == 1
    await_true(lambda: shown("oldest_ready_job_seconds", model=UNSERVED) > 0, "its age")
    assert shown("workers", model=MODEL, state="warm") == 1
    assert shown("workers", model=UNSERVED, state="warm") == 0
    assert shown("jobs_accepted_total", model=MODEL) == 3
    assert shown("jobs_ended_total", model=UNSERVED, state="cancelled") == 1
    taken = {"route": "/v1/jobs", "method": "POST", "status": "202"}
    unknown = {"route": "/v1/jobs/{job_id}", "method": "GET", "status": "404"}
    await_true(lambda: shown("http_requests_total", **taken) == 5, "what was taken")
    await_true(lambda: shown("http_requests_total", **unknown) == 1, "what was asked last")
    assert shown("http_request_seconds_count", route="/v1/uploads", method="POST") == 5
    assert shown("redis_up") == 1


def test_a_path_or_method_that_callers_make_up_is_no_label(stack: Stack) -> None:
    for number in range(3):
        request = urllib.request.Request(f"{stack.server.url}/made-up/{number}", method="BREW")
        with pytest.raises(urllib.error.HTTPError):
            urllib.request.urlopen(request, timeout=30)
    labels = {"route": "other", "method": "other", "status": "404"}
    name = "boxyard_http_requests_total"  # counted when the answer is out
    await_true(lambda: stack.value(stack.server, name, **labels) == 3, "the requests")
    found = stack.scrape(stack.server)[name]
    assert not any("made-up" in label or label == "BREW" for key in found for _, label in key)


def test_the_figures_are_on_no_port_that_callers_reach(stack: Stack) -> None:
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{stack.server.url}/metrics", timeout=30)


def test_a_detect_worker_shows_pictures_stages_and_batches(
    stack: Stack, jobs: dict[str, str]
) -> None:
    found = stack.scrape(stack.detect)

    def shown(name: str, **labels: str) -> float:
        return found[f"boxyard_{name}"][frozenset(labels.items())]

    assert shown("pictures_total", outcome="succeeded", code="") == 2
    assert shown("pictures_total", outcome="failed", code="undecodable-image") == 1
    for stage in ("decode", "infer", "encode"):
        assert shown("stage_seconds_count", stage=stage) == 2
    assert shown("stage_seconds_count", stage="store") == 3
    assert 1 <= shown("batch_pictures_count") <= 2
    assert shown("batch_pictures_sum") == 2
    assert shown("jobs_ended_total", model=MODEL, state="succeeded") == 2
    assert shown("job_attempts_total", model=MODEL) == 3
    assert shown("leases_lost_total") == 0


def test_a_deliver_loop_shows_outcomes_and_who_rests(stack: Stack, jobs: dict[str, str]) -> None:
    await_true(lambda: stack.value(stack.deliver, "boxyard_receivers_resting") == 1, "the rest")
    found = stack.scrape(stack.deliver)
    outcomes = {
        tuple(value for _, value in sorted(labels)): count
        for labels, count in found["boxyard_delivery_attempts_total"].items()
    }
    assert outcomes == {
        ("callback", "delivered", "delivered"): 1,
        ("callback", "status-5xx", "pending"): 1,
    }
    assert found["boxyard_delivery_attempt_seconds_count"][frozenset({("kind", "callback")})] == 2


def test_a_sweeper_shows_that_it_goes_round(stack: Stack) -> None:
    def rounds() -> float:
        return stack.value(stack.sweep, "boxyard_sweep_seconds_count", loop="records")

    before = rounds()
    await_true(lambda: rounds() > before, "another round")
    assert stack.value(stack.sweep, "boxyard_sweep_last_seconds", loop="blobs") > 1.7e9


def test_the_page_names_every_metric_and_no_other(stack: Stack, jobs: dict[str, str]) -> None:
    shown = {
        re.sub("_(count|sum|bucket)$", "", name)
        for process in stack.processes
        for name in stack.scrape(process)
        if name.startswith("boxyard_")
    }
    told = {name for name in re.findall(r"`(boxyard_\w+)`", PAGE) if name != "boxyard_worker"}
    # Neither happened in this stack: a counter has no sample before its first event.
    unseen = {"boxyard_jobs_requeued_total", "boxyard_unreadable_records_total"}
    assert told - unseen == shown


def test_every_alert_and_panel_asks_for_figures_and_labels_that_the_stack_shows(
    stack: Stack, jobs: dict[str, str]
) -> None:
    labels: dict[str, set[str]] = {}
    for process in stack.processes:
        for name, samples in stack.scrape(process).items():
            labels.setdefault(name, set()).update(label for key in samples for label, _ in key)
    labels["boxyard_jobs_requeued_total"] = {"model"}  # no attempt was given back in this stack
    by_prometheus = {"job", "instance", "alertname"}
    for title, query in [(title, query) for title, asked in ASKED.items() for query in asked]:
        named = re.findall(r"((?:boxyard|process)_\w+)(?:{(.*?)})?", query)
        for name, where in named:
            assert set(re.findall(r"(\w+)!?=", where)) - by_prometheus <= labels[name], title
        known = by_prometheus.union(*(labels[name] for name, _ in named))
        joined = " ".join(re.findall(r"\b(?:by|on) \((.*?)\)", query))
        assert set(re.findall(r"\w+", joined)) <= known, title


def test_every_alert_is_explained_and_says_how_bad_it_is() -> None:
    told = re.findall(r"^\| `(Boxyard\w+)` \|", PAGE, re.MULTILINE)
    assert told == [rule["alert"] for rule in RULES]
    assert {rule["labels"]["severity"] for rule in RULES} == {"critical", "warning"}
    assert all(rule["annotations"]["summary"] for rule in RULES)


def test_one_job_is_followed_by_its_id_through_the_logs_of_all_that_touched_it(
    stack: Stack, jobs: dict[str, str]
) -> None:
    stack.detect.await_event("job.ended", job=jobs["delivered"])
    stack.deliver.await_event("delivery attempted", job=jobs["delivered"])
    lines = stack.lines(jobs["delivered"])
    story: dict[str, list[str]] = {}
    for process, line in lines:
        if line["level"] != "debug" and line["event"] not in story.setdefault(process, []):
            story[process].append(line["event"])
    assert story == {
        "server": ["job.accepted", "request.answered"],
        "detect": ["job.claimed", "job.succeeded", "job.ended"],
        "deliver": ["delivery attempted"],
    }
    assert all(line["job"] == jobs["delivered"] for _, line in lines)
    assert all(line["tenant"] == "default" for _, line in lines)
    stages = [line["stage"] for _, line in lines if line["event"] == "picture.stage"]
    assert stages == ["fetch", "decode", "infer", "encode"]


def test_what_callers_did_to_their_jobs_is_in_the_log(stack: Stack, jobs: dict[str, str]) -> None:
    (line,) = stack.server.events("job.cancelled")
    assert (line["job"], line["tenant"]) == (jobs["cancelled"], "default")


def test_each_line_of_every_log_is_json_with_a_time_a_level_and_an_event(
    stack: Stack, jobs: dict[str, str]
) -> None:
    for process in stack.processes:
        for line in process.lines():
            assert {"event", "level", "logger", "timestamp"} <= json.loads(line).keys()


def test_a_model_process_that_dies_is_counted(stack: Stack, jobs: dict[str, str]) -> None:
    os.kill(int(stack.detect.await_event("model.warm")["pid"]), signal.SIGKILL)
    await_true(lambda: stack.value(stack.detect, "boxyard_model_restarts_total") == 1, "the death")


def test_a_scrape_while_redis_is_silent_is_answered_with_what_the_server_knows(
    stack: Stack, jobs: dict[str, str]
) -> None:
    def redis_up() -> float:
        return stack.value(stack.server, "boxyard_redis_up")

    assert stack.redis.pid
    os.kill(stack.redis.pid, signal.SIGSTOP)
    try:
        await_true(lambda: redis_up() == 0, "a scrape without Redis")
        assert stack.value(stack.server, "boxyard_jobs_accepted_total", model=MODEL) == 3
        assert "boxyard_jobs_ready" not in stack.scrape(stack.server)
    finally:
        os.kill(stack.redis.pid, signal.SIGCONT)
    await_true(lambda: redis_up() == 1, "a scrape with Redis")
    stack.server.await_event("metrics.without-redis")
