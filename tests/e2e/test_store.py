"""A store that refuses Boxyard's credentials is the operator's to mend, and no job pays for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from boxyard_ledger import LedgerSettings
from boxyard_ledger.s3 import S3
from boxyard_schemas import JobState, UrlImage
from pictures import png, scene
from process import PATIENCE_S, await_true
from receivers import Receiver, say
from swift_server import KEEPER, SwiftServer
from yard import Yard


@pytest.fixture
def swift(tmp_path: Path) -> Iterator[SwiftServer]:
    folder = tmp_path / "swift"
    folder.mkdir()
    try:
        os.setxattr(folder, "user.boxyard", b"")
    except OSError as error:
        if os.environ.get("CI"):
            raise
        pytest.skip(f"Swift needs extended attributes in {folder}: {error}")
    with SwiftServer(folder) as server:
        yield server


def store(server: SwiftServer, secret: str = KEEPER[1]) -> dict[str, str]:
    return {
        "blob_url": "s3://yard/prod",
        "s3_endpoint_url": server.url,
        "s3_access_key_id": KEEPER[0],
        "s3_secret_access_key": secret,
    }


def change_secret(server: SwiftServer, folder: Path, old: str, new: str) -> None:
    server.stop()
    settings = folder / "proxy.conf"
    settings.write_text(settings.read_text().replace(old, new))
    server.start()


def test_a_worker_with_a_wrong_secret_says_so_and_does_not_start(
    yard: Yard, swift: SwiftServer
) -> None:
    worker = yard.worker(ready=False, **store(swift, "guessed"))
    assert worker.process.wait(PATIENCE_S) == 1
    said = worker.tail().strip().splitlines()[-1]
    assert said.startswith("boxyard-worker: S3 refuses Boxyard's credentials")
    assert "SignatureDoesNotMatch" in said
    assert "BOXYARD_S3_SECRET_ACCESS_KEY" in said


def test_jobs_are_given_back_uncounted_until_the_secret_is_right_again(
    yard: Yard, swift: SwiftServer, tmp_path: Path
) -> None:
    S3(LedgerSettings(**store(swift))).client.create_bucket(Bucket="yard")
    with Receiver(say(200, png(scene()))) as server:
        worker = yard.worker(store_patience_s=0.5, **store(swift))
        change_secret(swift, tmp_path / "swift", KEEPER[1], "another")
        job = yard.accept([UrlImage(url=server.url)])
        await_true(
            lambda: len(worker.events("job.ended", job=job, how="returned")) > 2,
            "the job to be given back",
            worker.tail,
        )
        refused = worker.events("outage.awaited", level="error")
        assert "BOXYARD_S3_SECRET_ACCESS_KEY" in refused[0]["detail"]

        change_secret(swift, tmp_path / "swift", "another", KEEPER[1])
        assert yard.await_end(job).state == JobState.SUCCEEDED
        assert yard.status(job).attempts == 1
