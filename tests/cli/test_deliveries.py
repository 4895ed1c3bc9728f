"""`boxyard deliveries` against a whole stack and a receiver that has had enough."""

from __future__ import annotations

import json
from pathlib import Path

from boxyard_schemas import Callback, Delivery
from receivers import Receiver, say

from .conftest import Boxyard, RunningStack, until


def test_what_was_given_up_is_listed_and_told_again(
    stack: RunningStack, boxyard: Boxyard, picture: Path
):
    with Receiver(say(410), say(410), say(200)) as receiver, stack.client() as client:
        wanted = Delivery(callback=Callback.model_validate({"url": receiver.url}))
        jobs = [client.submit("rtmdet-ins_demo", picture, delivery=wanted) for _ in range(2)]
        until(lambda: len(list(client.exhausted())) == 2)
        listed = boxyard("deliveries", environment=stack.environment)
        assert all(job.id in listed.stdout for job in jobs), listed.stderr
        assert "status-410" in listed.stdout

        of_job = boxyard(
            "deliveries", "list", "--job", jobs[0].id, "--json", environment=stack.environment
        )
        name = json.loads(of_job.stdout)["id"]
        one = boxyard("deliveries", "replay", name, environment=stack.environment)
        assert one.stdout == f"{name} is due again.\n", one.stderr
        until(lambda: client.deliveries(jobs[0].id)[0].state == "delivered")

        rest = boxyard("deliveries", "replay", "--exhausted", environment=stack.environment)
        assert rest.stdout == "Due again: 1.\n", rest.stderr
        until(lambda: client.deliveries(jobs[1].id)[0].state == "delivered")
        assert len({request.headers["webhook-id"] for request in receiver.requests}) == 2


def test_a_replay_must_say_of_what(boxyard: Boxyard):
    for words in ((), ("dlv_1", "--exhausted"), ("dlv_1", "--endpoint", "end_1")):
        done = boxyard("deliveries", "replay", *words)
        assert done.returncode == 2
        assert "--exhausted" in done.stderr
