"""An image's source that is away for a while costs the image nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from boxyard_ledger import Claim, JobRecord, Ledger, LedgerSettings
from boxyard_schemas import StoredImage, UploadImage, UrlImage, new_id
from boxyard_schemas.errors import Permanent, Retryable, Unavailable
from boxyard_schemas.words import utc_now
from boxyard_worker.detect.fetch import Fetcher
from boxyard_worker.detect.hands import Later
from boxyard_worker.detect.lease import HeldJob
from boxyard_worker.detect.retries import Retries
from boxyard_worker.egress import Egress
from boxyard_worker.settings import DetectSettings
from ports import hold_port
from receivers import Receiver, say


@dataclass
class Clock:
    """Time that passes in pauses alone."""

    now: float = 0.0
    pauses: list[float] = field(default_factory=list)

    def fetch(self, retries: Retries, get: Callable[[], str]) -> str:
        """Makes attempts until one works or the last one fails."""
        while True:
            retries.begin()
            try:
                return get()
            except (Retryable, Unavailable) as error:
                later = retries.after(error)
            self.pauses.append(later.pause_s)
            self.now += later.pause_s


def failing_until(clock: Clock, end: float, error: Exception) -> Callable[[], str]:
    def get() -> str:
        if clock.now < end:
            raise error
        return "image"

    return get


def make(clock: Clock) -> Retries:
    return Retries(deadline_s=30, patience_s=120, clock=lambda: clock.now)


@given(away_s=st.floats(0, 25))
def test_a_server_that_is_away_for_most_of_the_deadline_costs_no_image(away_s: float) -> None:
    clock = Clock()
    get = failing_until(clock, away_s, Retryable("fetch-failed", "refused"))
    assert clock.fetch(make(clock), get) == "image"
    assert clock.now <= away_s + 5
    assert len(clock.pauses) <= 10
    assert clock.pauses == sorted(clock.pauses)


def test_a_server_that_stays_away_fails_the_image_with_what_it_did_last() -> None:
    clock = Clock()
    with pytest.raises(Retryable, match="refused"):
        clock.fetch(make(clock), failing_until(clock, 1e9, Retryable("fetch-failed", "refused")))
    assert 25 <= clock.now < 30


@given(wish=st.floats(0, 29.9))
def test_a_server_is_not_asked_before_its_retry_after(wish: float) -> None:
    clock = Clock()
    get = failing_until(clock, 1e-9, Retryable("status-503", "busy", retry_after_s=wish))
    assert clock.fetch(make(clock), get) == "image"
    assert clock.now >= wish


def test_a_retry_after_beyond_the_deadline_ends_the_image_at_once() -> None:
    clock = Clock()
    get = failing_until(clock, 1e9, Retryable("status-503", "busy", retry_after_s=600))
    with pytest.raises(Retryable, match="busy"):
        clock.fetch(make(clock), get)
    assert clock.now == 0


@given(away_s=st.floats(0, 115), source_away_s=st.floats(0, 25))
def test_an_outage_of_the_store_leaves_the_source_its_whole_deadline(
    away_s: float, source_away_s: float
) -> None:
    clock = Clock()
    outage = failing_until(clock, away_s, Unavailable("away", retry_after_s=60))

    def get() -> str:
        outage()
        error = Retryable("unreadable-upload", "cannot be read")
        return failing_until(clock, away_s + source_away_s, error)()

    assert clock.fetch(make(clock), get) == "image"


def test_a_store_that_stays_away_gives_the_job_back() -> None:
    clock = Clock()
    with pytest.raises(Unavailable):
        clock.fetch(make(clock), failing_until(clock, 1e9, Unavailable("away")))
    assert 115 <= clock.now < 120


def test_an_attempt_that_had_to_wait_for_a_thread_gets_a_second_past_the_deadline() -> None:
    clock = Clock()
    retries = make(clock)
    assert retries.begin() == 30
    clock.now = 45
    assert retries.begin() == 1


@pytest.fixture(scope="module")
def egress() -> Iterator[Egress]:
    with Egress(
        DetectSettings(allowed_networks=("127.0.0.0/8",), allowed_ports=frozenset())
    ) as egress:
        yield egress


@pytest.fixture
def fetcher(ledger: Ledger, ledger_settings: LedgerSettings, egress: Egress) -> Fetcher:
    settings = DetectSettings.model_validate(ledger_settings.model_dump())
    return Fetcher(ledger, egress, settings)


def held(*images: StoredImage) -> HeldJob:
    job = JobRecord(
        id=new_id("job"), tenant="default", model="stand-in", images=images, created_at=utc_now()
    )
    return HeldJob(Claim(job=job, token=1, attempt=1, strikes=()))


def test_a_refused_connection_is_retried_until_the_server_is_back(fetcher: Fetcher) -> None:
    port = hold_port()
    job = held(UrlImage.model_validate({"url": f"http://127.0.0.1:{port}/a.png"}))
    for _ in range(5):
        with pytest.raises(Later):
            fetcher.fetch(job, 0)
    with Receiver(say(200, b"image"), port=port):
        assert fetcher.fetch(job, 0) == b"image"


@pytest.mark.parametrize("wish", ["17", "Fri, 31 Dec 2199 23:59:59 GMT"])
def test_retry_after_is_read_from_the_answer(fetcher: Fetcher, wish: str) -> None:
    with Receiver(say(503, Retry_After=wish)) as receiver:
        job = held(UrlImage.model_validate({"url": receiver.url}))
        with pytest.raises(Later if wish.isdecimal() else Retryable) as caught:
            fetcher.fetch(job, 0)
    if isinstance(caught.value, Later):
        assert caught.value.pause_s == 17
    else:
        assert "asked to be tried again in" in str(caught.value)


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410])
def test_a_refusal_ends_the_image_at_once(fetcher: Fetcher, status: int) -> None:
    with Receiver(say(status)) as receiver:
        job = held(UrlImage.model_validate({"url": receiver.url}))
        with pytest.raises(Permanent, match=str(status)):
            fetcher.fetch(job, 0)
        assert len(receiver.requests) == 1


@pytest.fixture
def upload(ledger: Ledger) -> str:
    return ledger.uploads.store("default", b"image").id


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where the blob store has the tenant's uploads."""
    return tmp_path / "blobs/default/uploads"


def test_an_upload_whose_folder_is_away_is_waited_for(
    fetcher: Fetcher, upload: str, folder: Path
) -> None:
    job = held(UploadImage(upload=upload))
    folder.rename(folder.with_name("away"))
    for _ in range(5):
        with pytest.raises(Later) as caught:
            fetcher.fetch(job, 0)
        assert isinstance(caught.value.__cause__, Unavailable)
    folder.with_name("away").rename(folder)
    assert fetcher.fetch(job, 0) == b"image"


def test_an_upload_that_was_erased_is_missing_whatever_became_of_its_folder(
    fetcher: Fetcher, ledger: Ledger, upload: str, folder: Path
) -> None:
    ledger.uploads.discard("default", upload)
    folder.rmdir()
    with pytest.raises(Permanent) as caught:
        fetcher.fetch(held(UploadImage(upload=upload)), 0)
    assert caught.value.reason == "missing-upload"


def test_a_lost_file_among_the_uploads_is_missing(
    fetcher: Fetcher, upload: str, folder: Path
) -> None:
    (folder / upload).unlink()
    with pytest.raises(Permanent) as caught:
        fetcher.fetch(held(UploadImage(upload=upload)), 0)
    assert caught.value.reason == "missing-upload"


def test_an_upload_that_cannot_be_read_fails_in_the_end_and_says_why(
    fetcher: Fetcher, upload: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / upload).unlink()
    (folder / upload).symlink_to(folder / upload)
    job = held(UploadImage(upload=upload))
    with pytest.raises(Later):
        fetcher.fetch(job, 0)
    monkeypatch.setattr(job.fetches[0], "_end", 0.0)
    with pytest.raises(Retryable, match="symbolic links") as caught:
        fetcher.fetch(job, 0)
    assert caught.value.reason == "unreadable-upload"
