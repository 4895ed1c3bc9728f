"""Jobs go through a real worker: bell, chunk, model child, result."""

from __future__ import annotations

from pathlib import Path

import redis
from PIL import Image

from boxyard_ledger import upload_key
from boxyard_schemas import (
    ImageFailure,
    ImageSuccess,
    JobState,
    S3Image,
    UrlImage,
    detect_queue,
)
from boxyard_worker.detector.standin import Trouble
from chaos.foreign import envelope, foreign_messages
from pictures import encoded, png, scene, trouble
from receivers import Receiver, drip, say
from yard import MODEL, Yard, await_true


def test_a_job_comes_out_as_predictions_with_their_provenance(yard: Yard) -> None:
    yard.worker("--max-batch", "4")
    job = yard.accept([png(scene())], metadata={"order": "7"}, parameters={"masks": "rle"})
    result = yard.result(job)
    (image,) = result.images
    assert isinstance(image, ImageSuccess)
    (detection,) = image.boxes
    assert detection.label == "red"
    assert detection.box.model_dump() == {
        "topX": 0.125,
        "topY": 0.125,
        "bottomX": 0.375,
        "bottomY": 0.375,
    }
    assert (image.masks, detection.polygon) == ("rle", None)
    assert detection.mask is not None
    assert (image.image.width, image.image.height) == (64, 48)
    assert result.metadata == {"order": "7"}
    assert result.provenance.model == MODEL
    await_true(lambda: yard.ledger.workers.all()[0].warm, "a heartbeat", lambda: "")
    assert yard.ledger.workers.all()[0].classes == ("red", "green", "blue")


def test_fifty_images_come_back_in_their_order(yard: Yard) -> None:
    yard.worker()
    sources = [
        yard.upload(png(scene(60 + number))).model_copy(update={"reference": f"picture {number}"})
        for number in range(50)
    ]
    result = yard.result(yard.accept(sources))
    assert [image.reference for image in result.images] == [f"picture {n}" for n in range(50)]
    widths = [image.image.width for image in result.images if isinstance(image, ImageSuccess)]
    assert widths == [60 + number for number in range(50)]


def test_every_bad_picture_fails_alone_and_says_why(yard: Yard) -> None:
    jpeg = encoded(Image.fromarray(scene()[..., ::-1]), "JPEG")
    with (
        Receiver(say(200, png(scene()))) as good,
        Receiver(say(404)) as gone,
        Receiver(say(503)) as broken,
        Receiver(drip) as slow,
    ):
        yard.worker(fetch_deadline_s=8, max_image_bytes=20_000, max_pixels=100_000)
        lost = yard.upload(b"its blob is gone")
        yard.ledger.blobs.delete(upload_key("default", lost.upload))
        wanted = {
            yard.upload(jpeg): None,
            yard.upload(jpeg[: len(jpeg) // 2]): "undecodable-image",
            yard.upload(b"hello"): "unsupported-format",
            yard.upload(png(scene(1000, 1000))): "too-many-pixels",
            yard.upload(bytes(20_001)): "too-large",
            lost: "missing-upload",
            UrlImage(url=good.url): None,
            UrlImage(url=gone.url): "status-404",
            UrlImage(url=broken.url): "status-503",
            UrlImage(url=slow.url): "fetch-failed",
            UrlImage(url="http://169.254.169.254/latest"): "address-denied",
            S3Image(s3="s3://not-allowed/key"): "bucket-denied",
            yard.upload(png(trouble(Trouble.RAISE))): "inference-failed",
        }
        result = yard.result(yard.accept(list(wanted)))
        assert len(broken.requests) > 3
    codes = [image.code if isinstance(image, ImageFailure) else None for image in result.images]
    assert codes == list(wanted.values())


def test_a_job_of_bad_pictures_alone_fails_and_keeps_its_result(yard: Yard) -> None:
    yard.worker()
    job = yard.accept([b"hello"])
    assert isinstance(yard.result(job).images[0], ImageFailure)
    assert yard.status(job).state == JobState.FAILED


def test_a_poison_picture_crashes_and_its_mates_succeed(yard: Yard) -> None:
    yard.worker("--max-wait-ms", "200")
    with_poison = yard.accept([png(scene()), png(trouble(Trouble.CRASH)), png(scene())])
    beside = yard.accept([png(scene())])
    statuses = [image.status for image in yard.result(with_poison).images]
    assert statuses == ["succeeded", "crashed", "succeeded"]
    assert yard.status(with_poison).state == JobState.SUCCEEDED
    assert yard.await_end(beside).state == JobState.SUCCEEDED
    assert yard.status(beside).attempts == 1


def test_a_cancelled_job_is_dropped_and_the_worker_goes_on(yard: Yard) -> None:
    worker = yard.worker("--max-batch", "1")
    slow = yard.accept([png(trouble(Trouble.SLOW))] * 5)
    worker.await_event("picture.stage", job=slow, stage="infer")
    assert yard.ledger.jobs.cancel("default", slow).state == JobState.CANCELLED
    assert yard.await_end(yard.accept([png(scene())])).state == JobState.SUCCEEDED
    worker.await_event("job.ended", job=slow, how="dropped")
    assert yard.status(slow).result is None


def test_foreign_messages_are_refused_and_counted_and_the_worker_lives(
    yard: Yard, tmp_path: Path
) -> None:
    trap = tmp_path / "was here"
    foreign = foreign_messages(MODEL, trap, megabytes=50)
    worker = yard.worker()
    with redis.Redis.from_url(yard.redis.url) as client:
        for each in foreign.values():
            client.lpush(detect_queue(MODEL), each)
        await_true(
            lambda: len(worker.events("bell.refused")) >= len(foreign), "refusals", worker.tail
        )
    assert yard.await_end(yard.accept([png(scene())])).state == JobState.SUCCEEDED
    assert worker.process.poll() is None
    assert [each["count"] for each in worker.events("bell.refused")] == [
        *range(1, len(foreign) + 1)
    ]
    assert not trap.exists()


def test_what_rides_on_a_bell_is_left_behind(yard: Yard) -> None:
    """Celery would send callbacks on, wait for the hour, and forget what has expired."""
    worker = yard.worker()
    other = {"task": "os.system", "args": ["true"], "options": {"queue": "elsewhere"}}
    riding = envelope(
        MODEL,
        keywords={"version": 1, "model": MODEL},
        options={"callbacks": [other], "errbacks": [other], "chain": [other]},
        eta="2099-01-01T00:00:00+00:00",
        retries=5,
    )
    with redis.Redis.from_url(yard.redis.url) as client:
        client.lpush(detect_queue(MODEL), riding)
        await_true(lambda: not client.llen(detect_queue(MODEL)), "an empty queue", worker.tail)
        assert yard.await_end(yard.accept([png(scene())])).state == JobState.SUCCEEDED
        assert not client.exists("elsewhere")
        assert not worker.events("bell.refused")


def test_nobody_controls_a_worker_from_afar(yard: Yard) -> None:
    worker = yard.worker()
    with redis.Redis.from_url(yard.redis.url) as client:
        channels = [name.decode() for name in client.pubsub_channels("*")]
        keys = [name.decode() for name in client.scan_iter("*")]
    assert not [name for name in (*channels, *keys) if "pidbox" in name]
    assert worker.stop() == 0


def test_the_operator_says_which_pictures_are_read_and_what_memory_they_may_take(
    yard: Yard,
) -> None:
    pages = [Image.new("RGB", (20, 10), (n, n, n)) for n in range(3)]
    large = encoded(Image.new("RGB", (2000, 2000)), "PNG")
    yard.worker(image_formats="png,tiff", max_frames=2, image_memory=64 << 20)
    wanted = {
        yard.upload(encoded(pages[0], "PNG")): None,
        yard.upload(encoded(pages[0], "JPEG")): "unsupported-format",
        yard.upload(encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:2])): None,
        yard.upload(
            encoded(pages[0], "TIFF", save_all=True, append_images=pages[1:])
        ): "too-many-frames",
        yard.upload(large): "too-much-memory",
    }
    result = yard.result(yard.accept(list(wanted)))
    codes = [image.code if isinstance(image, ImageFailure) else None for image in result.images]
    assert codes == list(wanted.values())
