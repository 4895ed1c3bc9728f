"""The backup that docs/operations.md describes, taken while jobs come and put back elsewhere."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from threading import Event

import pytest
import redis

from beside import beside
from boxyard_ledger import (
    EmbeddedRedis,
    JobRecord,
    Ledger,
    LedgerSettings,
    result_key,
    upload_key,
)
from boxyard_schemas import JobState, UploadImage, new_id
from boxyard_schemas.errors import Conflict
from boxyard_schemas.words import utc_now
from yard import MODEL, await_true

from .conftest import ROOT

PICTURE, RESULT = b"a picture", b'{"a": "result"}'

TAR_BEFORE_A_REWRITE = """#!{python}
import os, subprocess, sys, time
import redis

subprocess.run([{tar!r}, *sys.argv[1:]], check=True)
try:
    os.mkdir({once!r})
except FileExistsError:
    sys.exit()
with redis.Redis.from_url({url!r}) as client:
    client.bgrewriteaof()
    written = lambda of: of["aof_rewrites"] and not of["aof_rewrite_in_progress"]
    while not written(client.info("persistence")):
        time.sleep(0.05)
"""


def open_ledger(server: EmbeddedRedis, folder: Path) -> Ledger:
    return Ledger.open(LedgerSettings(redis_url=server.url, blob_url=(folder / "blobs").as_uri()))


def accept(ledger: Ledger) -> JobRecord:
    upload = ledger.uploads.store("acme", PICTURE).id
    job = JobRecord(
        id=new_id("job"),
        tenant="acme",
        model=MODEL,
        images=(UploadImage(upload=upload),),
        created_at=utc_now(),
    )
    ledger.jobs.accept(job)
    return job


def finish_next(ledger: Ledger) -> str:
    (claim,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
    key = result_key("acme", claim.job.id, claim.token)
    stored = ledger.blobs.put(key, RESULT, once=True)
    assert ledger.jobs.finish(claim, stored, succeeded=1, failed=0)
    return claim.job.id


def copy_redis(server: EmbeddedRedis, source: Path, target: Path) -> None:
    """As the page says: nothing may rewrite the file while it is copied."""
    with redis.Redis.from_url(server.url, decode_responses=True) as client:
        client.config_set("auto-aof-rewrite-percentage", 0)
        await_true(
            lambda: client.info("persistence")["aof_rewrite_in_progress"] == 0, "the rewrite"
        )
        shutil.copytree(source / "appendonlydir", target / "appendonlydir")
        client.config_set("auto-aof-rewrite-percentage", 100)


def copy_blobs(source: Path, target: Path) -> None:
    """As the page says: without what is being written, which comes and goes."""
    shutil.copytree(source, target, ignore=shutil.ignore_patterns(".unfinished"))


def test_a_backup_of_a_running_stack_has_every_job_of_before_with_picture_and_result(
    tmp_path: Path,
) -> None:
    live, copy = tmp_path / "live", tmp_path / "copy"
    with EmbeddedRedis(live / "redis") as server, open_ledger(server, live) as ledger:
        secret = ledger.tenants.create("acme")
        before = [accept(ledger) for _ in range(30)]
        ended = finish_next(ledger)

        def go_on(stop: Event) -> None:
            while not stop.is_set():
                accept(ledger)

        with beside(go_on):
            copy_redis(server, live / "redis", copy / "redis")
            late = finish_next(ledger)
            copy_blobs(live / "blobs", copy / "blobs")

    with EmbeddedRedis(copy / "redis") as server, open_ledger(server, copy) as ledger:
        assert ledger.tenants.webhook_secrets("acme") == [secret]
        result = ledger.jobs.get("acme", ended).result
        assert result is not None
        assert ledger.blobs.get(result.key) == RESULT
        for job in before:
            assert isinstance(job.images[0], UploadImage)
            assert ledger.blobs.get(upload_key("acme", job.images[0].upload)) == PICTURE
        # What ended after the copy runs again, and what was stored first stands.
        assert ledger.jobs.get("acme", late).state is JobState.QUEUED
        (claim,) = ledger.jobs.claim(MODEL, worker="w", max_images=1)
        assert claim.job.id == late
        with pytest.raises(Conflict):
            ledger.blobs.put(result_key("acme", late, claim.token), b"{}", once=True)
        assert ledger.jobs.ready(MODEL) >= len(before) - 2


def test_a_copy_is_made_again_when_redis_has_rewritten_its_file_meanwhile(tmp_path: Path) -> None:
    live, kept, copy, tools = (tmp_path / name for name in ("live", "kept", "copy", "tools"))
    tools.mkdir()
    with EmbeddedRedis(live / "redis") as server, open_ledger(server, live) as ledger:
        before = [accept(ledger) for _ in range(3)]
        words = {"tar": shutil.which("tar"), "once": str(tools / "once"), "url": server.url}
        (tools / "tar").write_text(TAR_BEFORE_A_REWRITE.format(python=sys.executable, **words))
        (tools / "tar").chmod(0o755)
        subprocess.run(
            [ROOT / "deploy" / "backup.sh", live / "redis", live / "blobs", kept],
            env={**os.environ, "PATH": f"{tools}:{os.environ['PATH']}"},
            check=True,
        )
        manifest = "appendonlydir/appendonly.aof.manifest"
        written = (live / "redis" / manifest).read_text()

    for name, folder in {"jobs": "redis", "blobs": "blobs"}.items():
        (copy / folder).mkdir(parents=True)
        subprocess.run(["tar", "-C", copy / folder, "-xpf", kept / f"{name}.tar"], check=True)
    assert (copy / "redis" / manifest).read_text() == written
    with EmbeddedRedis(copy / "redis") as server, open_ledger(server, copy) as ledger:
        assert ledger.jobs.ready(MODEL) == len(before)
        for job in before:
            assert isinstance(job.images[0], UploadImage)
            assert ledger.blobs.get(upload_key("acme", job.images[0].upload)) == PICTURE
