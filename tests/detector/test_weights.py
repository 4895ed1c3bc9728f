"""Weights are safetensors, fit exactly, and come out of published checkpoints safely."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from collections import OrderedDict
from pathlib import Path

import numpy as np
import pytest
import torch
from mmengine.logging import HistoryBuffer
from safetensors.torch import save_file
from torch import nn

from boxyard_worker.detector import DetectorLoadError
from boxyard_worker.detector.checkpoint import read_checkpoint
from boxyard_worker.detector.conversion import advise, convert_checkpoint
from boxyard_worker.detector.pickled import Forgotten
from boxyard_worker.detector.weights import hash_file, load_weights, read_weights


def save_checkpoint(path: Path, **extra: object) -> dict[str, torch.Tensor]:
    """Writes what mmengine writes at the end of a training, its log included."""
    state = OrderedDict(nn.BatchNorm2d(3).state_dict())
    state["data_preprocessor.mean"] = torch.zeros(3)
    log = HistoryBuffer([1.5, 2.5], [1, 1])
    meta = {"dataset_meta": {"CLASSES": ("can", "carton")}, "epoch": np.float64(3)}
    torch.save({"meta": meta, "message_hub": {"loss": log}, "state_dict": state, **extra}, path)
    return dict(state)


def test_a_published_checkpoint_becomes_safetensors_with_its_class_names(tmp_path: Path) -> None:
    state = save_checkpoint(tmp_path / "model.pth")
    weights = read_weights(convert_checkpoint(tmp_path / "model.pth"))
    assert weights.classes == ("can", "carton")
    assert weights.sha256 == hash_file(tmp_path / "model.safetensors")
    assert set(weights.state) == set(state) - {"data_preprocessor.mean"}
    load_weights(nn.BatchNorm2d(3), weights)


def test_a_checkpoint_that_would_run_code_is_refused_and_runs_none(tmp_path: Path) -> None:
    class Malice:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "was here"),)

    save_checkpoint(tmp_path / "model.pth", malice=Malice())
    with pytest.raises(DetectorLoadError, match="mkdir") as caught:
        convert_checkpoint(tmp_path / "model.pth")
    assert "weights_only" not in str(caught.value)
    assert not (tmp_path / "was here").exists()


def test_weights_that_have_no_place_to_go_blame_the_place(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.pth")
    with pytest.raises(DetectorLoadError, match=r"absent/model\.safetensors cannot be written"):
        convert_checkpoint(tmp_path / "model.pth", tmp_path / "absent" / "model.safetensors")
    assert str(tmp_path) in advise(tmp_path, 1 << 60)
    assert "mmdet publishes" in advise(tmp_path, 1)


def test_a_checkpoint_is_not_overwritten_by_its_own_conversion(tmp_path: Path) -> None:
    source, link = tmp_path / "model.pth", tmp_path / "link.safetensors"
    save_checkpoint(source)
    link.hardlink_to(source)
    before = source.read_bytes()
    for target in (source, link):
        with pytest.raises(DetectorLoadError, match=r"is the checkpoint itself.*another file"):
            convert_checkpoint(source, target)
    assert source.read_bytes() == link.read_bytes() == before


def test_what_was_converted_is_not_converted_again(tmp_path: Path) -> None:
    with pytest.raises(DetectorLoadError, match=r"safetensors already.*--weights"):
        convert_checkpoint(tmp_path / "model.safetensors")


def test_getattr_in_a_checkpoint_reaches_nothing(tmp_path: Path) -> None:
    class Reach:
        def __reduce__(self) -> tuple[object, ...]:
            return getattr, (np.ndarray, "tofile")

    save_checkpoint(tmp_path / "model.pth", reach=Reach())
    assert convert_checkpoint(tmp_path / "model.pth").exists()
    assert isinstance(read_checkpoint(tmp_path / "model.pth")["reach"], Forgotten)
    assert pickle.loads(pickle.dumps(Reach())) is np.ndarray.tofile  # as it would have been


def test_the_command_line_converts_a_checkpoint_and_says_why_it_refuses_one(
    tmp_path: Path,
) -> None:
    save_checkpoint(tmp_path / "model.pth")
    (tmp_path / "broken.pth").write_bytes(b"not a checkpoint")
    command = [sys.executable, "-m", "boxyard_worker.cli", "convert"]
    good = subprocess.run(
        [*command, str(tmp_path / "model.pth")], capture_output=True, text=True, check=False
    )
    assert good.stdout.strip() == str(tmp_path / "model.safetensors"), good.stderr
    assert read_weights(tmp_path / "model.safetensors")
    bad = subprocess.run(
        [*command, str(tmp_path / "broken.pth")], capture_output=True, text=True, check=False
    )
    assert bad.returncode == 1
    assert bad.stderr.startswith("boxyard-worker: The checkpoint broken.pth cannot be read"), (
        bad.stderr
    )


def test_a_checkpoint_whose_name_claims_another_digest_is_damaged(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model_20221124-33d4595b.pth")
    with pytest.raises(DetectorLoadError, match="damaged"):
        convert_checkpoint(tmp_path / "model_20221124-33d4595b.pth")


def test_a_checkpoint_is_not_loaded_while_serving(tmp_path: Path) -> None:
    save_checkpoint(tmp_path / "model.pth")
    with pytest.raises(DetectorLoadError, match="boxyard-worker convert") as caught:
        read_weights(tmp_path / "model.pth")
    assert str(tmp_path / "model.pth") in caught.value.hint


def test_a_damaged_file_and_a_missing_one_say_so(tmp_path: Path) -> None:
    (tmp_path / "short.safetensors").write_bytes(b"not this")
    for name in ("short.safetensors", "absent.safetensors"):
        with pytest.raises(DetectorLoadError, match="cannot be read"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("classes", ["cat, dog", "2"], ids=["words", "a number"])
def test_notes_that_are_no_list_of_names_say_so(tmp_path: Path, classes: str) -> None:
    file = tmp_path / "own.safetensors"
    save_file({"weight": torch.zeros(1)}, file, {"classes": classes})
    with pytest.raises(DetectorLoadError, match=r"own\.safetensors cannot be read"):
        read_weights(file)


def test_parameters_missing_unexpected_or_of_another_shape_are_named(tmp_path: Path) -> None:
    file = tmp_path / "linear.safetensors"
    save_file({"weight": torch.zeros(2, 2), "extra": torch.zeros(1)}, file)
    with pytest.raises(DetectorLoadError, match="missing: bias; unexpected: extra"):
        load_weights(nn.Linear(2, 2), read_weights(file))
    save_file({"weight": torch.zeros(5, 2), "bias": torch.zeros(5)}, file)
    with pytest.raises(DetectorLoadError, match="weight is 5x2 in the file and 2x2 in the model"):
        load_weights(nn.Linear(2, 2), read_weights(file))
