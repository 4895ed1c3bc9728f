"""What the test was promised: every job with a 202, and how each is found kept."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from boxyard_ledger.keys import result_prefix
from boxyard_producer import Client
from boxyard_schemas import Callback, Delivery, JobResult, JobState
from compose.stack import ROOT, Stack

if TYPE_CHECKING:
    from types_boto3_s3 import S3Client

MODEL = "rtmdet-ins_demo"
PICTURES = sorted((ROOT / "examples" / "images").glob("*.jpg"))
CONSUMER = Delivery(callback=Callback.model_validate({"url": "http://consumer:8080/boxyard"}))
PATIENCE_S = 600.0


class Accepted:
    """Submits, remembers, and judges."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self._stack, self._client = stack, client
        self.ids: list[str] = []
        self._verified: set[str] = set()

    def submit(self, jobs: int, pictures: int = 2, model: str = MODEL) -> list[str]:
        """Jobs of so many pictures each, to be told to the consumer; their ids."""
        chosen = PICTURES[:pictures]
        made = [self._client.submit(model, chosen, delivery=CONSUMER).id for _ in range(jobs)]
        self.ids += made
        return made

    def submit_until_running(self, jobs: int, pictures: int) -> list[str]:
        """So many jobs, and one more whenever all have ended unseen, until a worker holds one."""
        ids = self.submit(jobs, pictures)

        def one_is_held() -> bool:
            states = {self._client.job(one).state for one in ids}
            if states == {JobState.SUCCEEDED}:
                ids.extend(self.submit(1, pictures))
            return JobState.RUNNING in states

        await_true(one_is_held, "a claim")
        return ids

    def judge(self, ids: Sequence[str]) -> None:
        """Each succeeded, its result is in S3 as the server gives it, the consumer verified it."""
        s3 = self._stack.s3()
        for one in ids:
            job = self._client.wait(one, timeout_s=PATIENCE_S)
            assert (job.state, job.images.failed) == (JobState.SUCCEEDED, 0)
            result = self._client.result(one).model_dump(mode="json")
            assert result in [stored.model_dump(mode="json") for stored in _stored(s3, one)]
        await_true(lambda: self._told() >= set(ids), "the callbacks")

    def _told(self) -> set[str]:
        """Jobs of verified events, those before the consumer's container was made anew too."""
        text = self._stack.compose("logs", "--no-color", "consumer")
        self._verified |= set(re.findall(r"verified job\.succeeded (\S+)", text))
        return self._verified


def _stored(s3: S3Client, job: str) -> list[JobResult]:
    """Results that any of the job's claims left in the bucket."""
    prefix = f"blobs/{result_prefix('default', job)}"
    listed = s3.list_objects_v2(Bucket="boxyard", Prefix=prefix).get("Contents", [])
    found = [s3.get_object(Bucket="boxyard", Key=item["Key"]) for item in listed]
    return [JobResult.model_validate_json(each["Body"].read()) for each in found]


def await_true(check: Callable[[], bool], what: str) -> None:
    """Asks twice a second.

    Raises:
        AssertionError: it does not come true in ten minutes.
    """
    deadline = time.monotonic() + PATIENCE_S
    while not check():
        assert time.monotonic() < deadline, f"{what} did not come"
        time.sleep(0.5)
