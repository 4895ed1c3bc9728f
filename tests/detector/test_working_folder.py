"""Files that happen to lie in the working folder are no part of the program."""

from __future__ import annotations

from pathlib import Path

import cv2
import pytest
import torch

from boxyard_worker.decoder.header import read_header
from boxyard_worker.detect.decoders import Decoders, memory_of
from boxyard_worker.detect.process import ChildProcess
from boxyard_worker.detector.conversion import convert_checkpoint
from boxyard_worker.detector.messages import Load, Ready


@pytest.fixture(autouse=True)
def _shadows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("numbers", "random", "numpy", "torch"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file was imported')\n")
    monkeypatch.chdir(tmp_path)


def test_a_checkpoint_is_converted_beside_files_named_like_modules(tmp_path: Path) -> None:
    torch.save({"weight": torch.ones(1)}, tmp_path / "model.pth")
    assert convert_checkpoint(tmp_path / "model.pth").exists()


def test_an_image_is_decoded_beside_files_named_like_modules() -> None:
    file = cv2.imencode(".png", torch.zeros(4, 5, 3, dtype=torch.uint8).numpy())[1].tobytes()
    decoders = Decoders(1, max_pixels=1000, deadline_s=60)
    assert decoders.decode(file, memory_of(file, read_header(file))).width == 5
    decoders.close()


def test_a_model_is_loaded_beside_files_named_like_modules() -> None:
    child = ChildProcess((), None)
    load = Load("m", "standin", "cpu", None, True, None, max_batch=1, max_wait_s=0.0, slots=())
    child.send(load)
    assert child.poll(60)
    assert isinstance(child.receive(), Ready)
    child.end()
