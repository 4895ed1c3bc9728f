"""What callers may write, in the forms that work at run time; checked, not run."""

from __future__ import annotations

import io
from collections.abc import Iterator
from pathlib import Path

from boxyard_producer import AsyncClient, Client
from boxyard_producer.client import Image, JobOptions, Result
from boxyard_schemas import (
    Callback,
    Delivery,
    EventType,
    InputData,
    JobRequest,
    JobState,
    Parameters,
    Priority,
    S3Image,
    ScoreRequest,
    UploadImage,
    UrlImage,
)


def submit(boxyard: Client, model: str) -> None:
    """Every form of an image, alone, in lists of one kind, and mixed."""
    boxyard.submit(model, "a.jpg")
    boxyard.submit(model, Path("a.jpg"))
    boxyard.submit(model, b"jpeg")
    boxyard.submit(model, bytearray(b"jpeg"))
    boxyard.submit(model, memoryview(b"jpeg"))
    boxyard.submit(model, io.BytesIO(b"jpeg"))
    boxyard.submit(model, {"url": "https://example.com/a.jpg", "reference": "a"})
    boxyard.submit(model, [{"s3": "s3://bucket/a.jpg"}, {"upload": "upl_…"}, {"base64": "…"}])
    boxyard.submit(model, UrlImage(url="https://example.com/a.jpg"))
    boxyard.submit(model, [S3Image(s3="s3://bucket/a.jpg"), UploadImage(upload="upl_…"), "a.jpg"])
    boxyard.submit(model, sorted(Path("images").glob("*.jpg")))
    boxyard.submit(model, (str(number) for number in range(3)))
    boxyard.submit_many(model, images())


def images() -> Iterator[Image]:
    """A generator of several forms."""
    yield "a.jpg"
    yield Path("b.jpg")
    yield {"url": "https://example.com/a.jpg"}


def options(boxyard: Client) -> Result:
    """Every option, as an object and as a dict or a name."""
    job = boxyard.submit(
        "rtmdet-ins_demo",
        "a.jpg",
        parameters=Parameters(score_threshold=0.5),
        delivery=Delivery(callback=Callback(url="https://example.com/events")),
        priority=Priority.HIGH,
        expires_in_s=60,
        metadata={"aisle": "7"},
        idempotency_key="once",
    )
    boxyard.submit(
        "rtmdet-ins_demo",
        "a.jpg",
        parameters={"score_threshold": 0.5, "masks": "rle", "pixel_boxes": True},
        delivery={"callback": {"url": "https://example.com/", "events": ["job.succeeded"]}},
        priority="high",
    )
    kept: JobOptions = {"priority": "low", "delivery": {"s3": "s3://bucket/prefix/"}}
    boxyard.submit("rtmdet-ins_demo", "a.jpg", **kept)
    for each in boxyard.iter_jobs("dead"):
        assert each.state == "dead" or each.state is JobState.DEAD
    boxyard.page(JobState.DEAD)
    boxyard.models(task="object-detection", min_box_ap=40.0, served=True)
    return boxyard.result(job.id)


def bodies() -> list[object]:
    """Bodies of requests take lists for what they keep as tuples."""
    return [
        JobRequest(model="m", images=[UrlImage(url="https://example.com/a.jpg")]),
        JobRequest(
            model="m", images=(UploadImage(upload="upl_…"), S3Image(s3="s3://bucket/a.jpg"))
        ),
        Callback(url="https://example.com/events", events=[EventType.SUCCEEDED]),
        ScoreRequest(input_data=InputData(data=["https://example.com/a.jpg"], index=[0])),
    ]


async def awaited() -> list[str]:
    """The asynchronous client takes the same."""
    async with AsyncClient("https://boxyard.example", "key") as boxyard:
        await boxyard.submit("m", ["a.jpg"], parameters={"masks": "none"}, priority="low")
        submitted = boxyard.submit_many("m", [Path("a.jpg")], images_per_job=4)
        return [job.id async for job in boxyard.as_completed(submitted)]
