"""Blobs in a directory: what a crash left unfinished is nobody's, and goes."""

from __future__ import annotations

import os
import time
from pathlib import Path

from boxyard_ledger.blobs import DirectoryBlobs, StoreIdentity


def begun(folder: Path, age_s: float) -> Path:
    draft = folder / ".unfinished" / f"begun {age_s} s ago"
    draft.parent.mkdir(exist_ok=True)
    draft.write_bytes(b"half a pict")
    os.utime(draft, (time.time() - age_s,) * 2)
    return draft


def test_a_file_whose_writer_died_is_no_blob_and_goes_with_time(
    tmp_path: Path, identity: StoreIdentity
) -> None:
    old, young = begun(tmp_path, 4000), begun(tmp_path, 10)
    blobs = DirectoryBlobs(tmp_path, identity)
    assert list(blobs.keys("")) == []
    blobs.put("acme/uploads/one", b"whole")
    assert not old.exists()
    assert young.exists(), "its writer may still be at it"
    assert list(blobs.keys("")) == ["acme/uploads/one"]


def test_a_finished_blob_leaves_no_draft(tmp_path: Path, identity: StoreIdentity) -> None:
    blobs = DirectoryBlobs(tmp_path, identity)
    for once in (False, True, True):
        blobs.put("a/b", b"whole", once=once)
    assert list((tmp_path / ".unfinished").iterdir()) == []


def test_a_listing_goes_on_though_a_folder_goes_meanwhile(
    tmp_path: Path, identity: StoreIdentity
) -> None:
    blobs = DirectoryBlobs(tmp_path, identity)
    for job in range(5):
        blobs.put(f"acme/results/{job}/1.json", b"{}")
    listing = blobs.keys("acme/results/")
    first = next(listing)
    for job in range(5):
        blobs.delete(f"acme/results/{job}/1.json")
    assert list(listing) == []
    assert first.startswith("acme/results/")
