"""Stories of one stack, in this order: what an operator does to it, and what hardware does."""

from __future__ import annotations

import os
import re
import signal
from collections.abc import Iterator

import httpx
import pytest
from botocore.exceptions import ClientError

from boxyard_producer import Client
from compose.accepted import MODEL, Accepted, await_true
from compose.board import blank_panels
from compose.published import NAME as PULLED
from compose.published import publish
from compose.stack import Stack

pytestmark = pytest.mark.timeout(1800)
SERVICES = [
    *("consumer", "deliver", "detect-demo", "producer", "prometheus", "s3", "sweep", "valkey"),
]


@pytest.mark.parametrize("service", SERVICES)
def test_a_part_is_healthy_and_can_do_little_in_its_container(stack: Stack, service: str) -> None:
    def health() -> str:
        (container,) = stack.inspect(service)
        return str(container["State"]["Health"]["Status"])

    await_true(lambda: health() == "healthy", service)
    (container,) = stack.inspect(service)
    assert 0 < container["HostConfig"]["Memory"] <= 16 << 30
    status = stack.inside(service, "cat /proc/self/status").stdout
    facts = dict(line.split(":\t", 1) for line in status.splitlines())
    assert set(facts["Uid"].split()) <= {"10001", "999", "65534"}
    assert int(facts["CapEff"], 16) == int(facts["CapBnd"], 16) == 0
    assert (facts["NoNewPrivs"], facts["Seccomp"]) == ("1", "2")
    assert "Read-only" in stack.inside(service, "touch /usr/planted").stderr


def test_no_one_comes_to_the_data_without_a_secret(stack: Stack) -> None:
    asked = stack.inside("valkey", "unset REDISCLI_AUTH VALKEYCLI_AUTH; valkey-cli dbsize")
    assert "NOAUTH" in asked.stdout
    asked = stack.inside("valkey", "valkey-cli --user monitor get boxyard:tenants")
    assert "NOPERM" in asked.stdout
    with pytest.raises(ClientError, match="SignatureDoesNotMatch"):
        stack.s3("guessed").list_objects_v2(Bucket="boxyard")
    assert httpx.get(f"{stack.url}/v1/jobs", timeout=60).status_code == 401


def test_the_producers_image_holds_no_torch(stack: Stack) -> None:
    assert stack.inside("producer", "python -c 'import torch'").returncode == 1
    assert stack.inside("detect-demo", "python -c 'import torch'").returncode == 0


def test_jobs_come_by_the_published_port_and_go_to_s3_and_to_the_consumer(
    accepted: Accepted,
) -> None:
    accepted.judge(accepted.submit(3))


def test_a_detect_worker_that_is_killed_in_the_middle_of_a_job_comes_back_and_loses_nothing(
    stack: Stack, accepted: Accepted
) -> None:
    jobs = accepted.submit_until_running(6, pictures=8)
    kill(stack, "detect-demo")
    await_true(lambda: stack.inspect("detect-demo")[0]["RestartCount"] > 0, "the restart")
    accepted.judge(jobs)


def test_a_redis_that_is_killed_and_then_restarted_forgets_nothing(
    stack: Stack, accepted: Accepted
) -> None:
    jobs = accepted.submit_until_running(4, pictures=8)
    kill(stack, "valkey")
    jobs += accepted.submit(2)
    stack.compose("restart", "valkey")
    accepted.judge(jobs + accepted.submit(2))


def test_a_second_worker_of_the_model_takes_its_share(
    stack: Stack, client: Client, accepted: Accepted
) -> None:
    stack.up("--no-recreate", "--scale", "detect-demo=2")
    hosts = {container["Config"]["Hostname"] for container in stack.inspect("detect-demo")}
    await_true(
        lambda: {each.host for each in client.model(MODEL).workers if each.warm} == hosts,
        "two warm workers",
    )

    def each_has_claimed() -> bool:
        accepted.judge(accepted.submit(6, pictures=4))
        logs = stack.compose("logs", "--no-color", "detect-demo")
        workers = re.findall(r"(detect-demo-\d) +\|.*job\.claimed", logs)
        return set(workers) == {"detect-demo-1", "detect-demo-2"}

    await_true(each_has_claimed, "a claim of each worker")


def test_a_stack_that_goes_down_with_work_and_comes_up_again_does_it(
    stack: Stack, accepted: Accepted
) -> None:
    stack.compose("stop", "detect-demo")
    waiting = accepted.submit(4)
    stack.compose("down")
    stack.up()
    accepted.judge(waiting)


def test_weights_that_were_pulled_into_the_volume_are_served(
    stack: Stack, client: Client, accepted: Accepted
) -> None:
    publish(stack.files / "published.pth")
    pulled = stack.compose(
        *("run", "--rm", "weights", "pull", PULLED, "--from", "/files/published.pth")
    )
    (digest,) = re.findall(rf"^{PULLED}  sha256:(\w+)$", pulled, re.MULTILINE)
    stack.up("--no-recreate", "detect-pulled")
    (job,) = accepted.submit(1, model=PULLED)
    accepted.judge([job])
    assert client.result(job).provenance.weights_sha256 == digest


def test_no_panel_of_the_board_is_blank(stack: Stack, accepted: Accepted) -> None:
    def all_show_numbers() -> bool:
        accepted.judge(accepted.submit(1))  # rates want traffic between two scrapes
        return not blank_panels(f"http://{stack.address('prometheus')}:9090")

    await_true(all_show_numbers, "all the figures")


def test_each_alert_comes_for_what_it_stands_for_and_not_before(stack: Stack) -> None:
    cases = (stack.files / "alerts.yml").read_text()
    script = f"cat >/tmp/alerts.yml <<'END'\n{cases}\nEND\npromtool test rules /tmp/alerts.yml"
    tested = stack.inside("prometheus", script)
    assert tested.returncode == 0, tested.stdout + tested.stderr


def test_in_the_end_nothing_that_was_accepted_is_lost(accepted: Accepted) -> None:
    accepted.judge(accepted.ids)
    assert len(accepted.ids) >= 29


def kill(stack: Stack, service: str) -> None:
    """As the kernel does when memory is short: the engine's own `kill` would not be healed."""
    (container,) = stack.inspect(service)
    os.kill(container["State"]["Pid"], signal.SIGKILL)


@pytest.fixture(autouse=True)
def _logs_of_a_failure(stack: Stack, request: pytest.FixtureRequest) -> Iterator[None]:
    failures = request.session.testsfailed
    yield
    if request.session.testsfailed > failures:
        print(stack.logs())
