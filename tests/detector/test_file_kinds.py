"""Weights that are something else, odd or partial: each is named in a sentence, or works."""

from __future__ import annotations

import argparse
import datetime
import gzip
import io
import pathlib
import tarfile
import zipfile
from collections import OrderedDict, defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from boxyard_worker.detector import DetectorLoadError, load_detector
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.checkpoint import write_weights
from boxyard_worker.detector.conversion import convert_checkpoint
from boxyard_worker.detector.weights import load_weights, read_weights

POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"
XML = b'<?xml version="1.0"?>\n<Error><Code>NoSuchKey</Code></Error>'


def saved(content: object) -> bytes:
    """The bytes of a checkpoint."""
    file = io.BytesIO()
    torch.save(content, file)
    return file.getvalue()


def zipped(**members: bytes) -> bytes:
    """The bytes of a zip archive."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return file.getvalue()


def tarred() -> bytes:
    """The bytes of a tar archive."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("epoch_12.pth"))
    return file.getvalue()


STATE = {"weight": torch.ones(2, 2), "bias": torch.zeros(2)}
FOREIGN = {
    "a Git LFS pointer": POINTER,
    "an HTML page": b"\n<!DOCTYPE HTML><html><body>Sign in</body></html>",
    "an XML document": XML,
    "JSON text": b'{"message": "Not Found"}',
    "it is empty": b"",
    "nothing but zeros": bytes(5000),
    "compressed by gzip": gzip.compress(b"x"),
    "a tar archive": tarred(),
    "an HDF5 file": b"\x89HDF\r\n\x1a\n" + bytes(100),
    "a PNG image": b"\x89PNG\r\n\x1a\n",
    "a WEBP image": b"RIFF\0\0\0\0WEBPVP8 ",
    "a GIF image": b"GIF89a\1\0\1\0",
    "an MP4": b"\0\0\0\x18ftypmp42",
    "a NumPy array": b"\x93NUMPY\1\0",
    "a TensorFlow Lite model": b"\x1c\0\0\0TFL3" + bytes(20),
    "an SQLite database": b"SQLite format 3\0" + bytes(20),
    "compressed by LZ4": b"\x04\x22\x4d\x18" + bytes(20),
    "a program": b"MZ\x90\0" + bytes(60),
    "a text": b"404: Not Found\n",
    "a text, such": b"[InternetShortcut]\r\nURL=https://example.com/epoch_12.pth\r\n",
    "HTML page, such": b"<div>Sign in to download this file</div>",
    "HTML page": "\ufeff<!DOCTYPE html>".encode("utf-16"),
    "JSON": b'\n[{"error": "quota"}]',
}


@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
@pytest.mark.parametrize("kind", FOREIGN)
def test_a_file_that_holds_no_weights_says_what_it_is(
    tmp_path: Path, kind: str, suffix: str
) -> None:
    file = tmp_path / f"epoch_12{suffix}"
    file.write_bytes(FOREIGN[kind])
    with pytest.raises(DetectorLoadError, match=kind) as caught:
        (convert_checkpoint if suffix == ".pth" else read_weights)(file)
    assert caught.value.hint
    assert "\n" not in str(caught.value)


COUNT = torch.tensor(3)


def wrap(state: dict[str, Tensor], prefix: str = "module.") -> dict[str, Tensor]:
    return {f"{prefix}{name}": tensor for name, tensor in state.items()}


AVERAGED = torch.optim.swa_utils.AveragedModel(nn.Linear(2, 2)).state_dict() | wrap(STATE)

ODD = {
    "is cut short or damaged": saved(STATE)[:-200],
    "a zip archive of other files": zipped(readme=b"x", weights=b"y"),
    "a TorchScript program": zipped(**{"model/data.pkl": b"x", "model/constants.pkl": b"y"}),
    "PyTorch wrote no such file": b"\x08\x07\x12\x07pytorch" + bytes(50),
    "is cut short": b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M",
    "but nothing": saved({}),
    "but a list": saved([1, 2]),
    "`state_dict` with 'scale', which is no tensor": saved(
        {"state_dict": {**STATE, "scale": None}}
    ),
    "`model` with 'weight', which is no tensor": saved(
        {"model": {"weight": torch.ones(2, 2).numpy()}}
    ),
    "but a dictionary of epoch, optimizer": saved({"epoch": 1, "optimizer": {}}),
    r"in 2 places.*: params, params_ema\..*checkpoint\['params_ema'\]": saved(
        {"params": STATE, "params_ema": STATE}
    ),
    r"in 2 places.*: nets\.a, nets\.b\..*checkpoint\['nets'\]\['b'\]": saved(
        {"nets": {"a": STATE, "b": STATE}}
    ),
    "but a dictionary of optimizer": saved({"optimizer": {"state": {0: STATE, 1: STATE}}}),
}


@pytest.mark.parametrize("kind", ODD)
def test_a_checkpoint_that_cannot_be_used_says_why(tmp_path: Path, kind: str) -> None:
    (tmp_path / "epoch_12.pth").write_bytes(ODD[kind])
    with pytest.raises(DetectorLoadError, match=kind) as caught:
        write_weights(tmp_path / "epoch_12.pth", "", tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)


@pytest.mark.filterwarnings("ignore")  # torch warns of all of these
@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (Tensor.to_sparse, "weight of epoch_12.pth is sparse"),
        (lambda tensor: tensor.to("meta"), "is without its numbers"),
        (
            lambda tensor: torch.quantize_per_tensor(tensor, 0.1, 0, torch.qint8),
            "is quantised",
        ),
    ],
)
def test_a_parameter_that_is_not_plain_numbers_is_named(
    tmp_path: Path, change: Callable[[Tensor], Tensor], fault: str
) -> None:
    torch.save({**STATE, "weight": change(STATE["weight"])}, tmp_path / "epoch_12.pth")
    with pytest.raises(DetectorLoadError, match=fault):
        write_weights(tmp_path / "epoch_12.pth", "", tmp_path / "out.safetensors")


def test_weights_under_the_others_suffix_say_so(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "model.pth")
    with pytest.raises(DetectorLoadError, match="safetensors already"):
        convert_checkpoint(tmp_path / "model.pth")
    torch.save(STATE, tmp_path / "model.safetensors")
    with pytest.raises(DetectorLoadError, match="a pickled checkpoint"):
        read_weights(tmp_path / "model.safetensors")
    cut = tmp_path / "cut.safetensors"
    save_file(STATE, cut)
    cut.write_bytes(cut.read_bytes()[:-4])
    with pytest.raises(DetectorLoadError, match="cut short"):
        read_weights(cut)


WORKING: dict[str, Any] = {
    "a moving average": {
        "ema_state_dict": {"steps": torch.tensor(7), **{f"module.{k}": v for k, v in STATE.items()}}
    },
    "beside its moving average": {"state_dict": STATE, "ema_state_dict": {"steps": torch.zeros(1)}},
    "mmdet 2's moving average": {"state_dict": {f"ema_{name}": STATE[name] for name in STATE}},
    "of several devices": {"model": {f"module.{name}": STATE[name] for name in STATE}},
    "compiled": {"state_dict": {f"_orig_mod.{name}": STATE[name] for name in STATE}},
    "under another name": {"network": STATE, "epoch": 12},
    "in a dictionary of another name": {"checkpoint": {"state_dict": STATE, "epoch": 1}, "x": 1},
    "torch's moving average": AVERAGED,
    "torch's moving average beside others": {"model": None, "ema": AVERAGED},
    "an average of several devices": {f"module.{name}": AVERAGED[name] for name in AVERAGED},
    "several devices of an average": {"n_averaged": COUNT, **wrap(wrap(STATE))},
    "a compiled trainer": {"state_dict": wrap(wrap(STATE, "_orig_mod."), "model.")},
    "an average beside nothing": {"state_dict": {}, "ema_state_dict": STATE},
    "in half precision": {"state_dict": {name: STATE[name].half() for name in STATE}},
    "of a trainer": {"state_dict": {f"model.{name}": STATE[name] for name in STATE}},
    "bare": STATE,
    "with notes of every kind": {
        "state_dict": OrderedDict(STATE),
        "meta": {
            "dataset_meta": defaultdict(list, classes=["can", "carton"]),
            "time": datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC),
            "options": argparse.Namespace(lr=1e-3),
            "folder": pathlib.PurePosixPath("/work_dirs/shelf"),
        },
    },
    "with a text for notes": {"state_dict": STATE, "meta": "epoch 12"},
    "with a list for notes": {"state_dict": STATE, "meta": {"dataset_meta": ["can"]}},
    "without names": {"state_dict": STATE, "meta": {"CLASSES": None}},
}


@pytest.mark.parametrize("kind", WORKING)
def test_a_checkpoint_works_wherever_it_keeps_its_parameters(tmp_path: Path, kind: str) -> None:
    torch.save(WORKING[kind], tmp_path / "model.pth")
    write_weights(tmp_path / "model.pth", "", tmp_path / "model.safetensors")
    weights = read_weights(tmp_path / "model.safetensors")
    assert weights.classes == (("can", "carton") if "every kind" in kind else ())
    model = nn.Linear(2, 2)
    load_weights(model, weights)
    assert model.weight.tolist() == STATE["weight"].tolist()


def test_weights_of_another_architecture_or_for_other_classes_say_so(tmp_path: Path) -> None:
    demo = find_model("rtmdet-ins_demo")
    assert demo.weights
    save_file({f"backbone.layer.{n}": torch.zeros(1) for n in range(9)}, tmp_path / "a.safetensors")
    with pytest.raises(DetectorLoadError, match="of another architecture") as caught:
        load_detector("own", config=demo.config, weights=tmp_path / "a.safetensors")
    assert len(str(caught.value)) < 400
    own = tmp_path / "own.py"
    own.write_text(demo.config.read_text().replace("num_classes=4", "num_classes=2"))
    (tmp_path / "names.txt").write_text("a\nb\n")
    with pytest.raises(DetectorLoadError, match="have another shape: bbox_head") as caught:
        load_detector("own", config=own, weights=demo.weights, classes=tmp_path / "names.txt")
    assert "num_classes" in caught.value.hint


@pytest.mark.parametrize(
    ("bias", "fault"),
    [
        ([0.0, float("nan")], "hold NaN, as in bias"),
        ([0.0, float("inf")], "hold infinite numbers, as in bias"),
        ([0j, 1j], "bias is of complex numbers"),
    ],
)
def test_weights_with_numbers_that_detect_nothing_are_refused(
    tmp_path: Path, bias: list[complex], fault: str
) -> None:
    save_file({**STATE, "bias": torch.tensor(bias)}, tmp_path / "own.safetensors")
    with pytest.raises(DetectorLoadError, match=fault):
        load_weights(nn.Linear(2, 2), read_weights(tmp_path / "own.safetensors"))


def test_infinite_numbers_are_fine_where_the_model_itself_has_some(tmp_path: Path) -> None:
    model = nn.Linear(2, 2)
    mask = torch.tensor([0.0, float("-inf")])
    model.register_buffer("attention", mask)
    save_file({**STATE, "attention": mask}, tmp_path / "own.safetensors")
    load_weights(model, read_weights(tmp_path / "own.safetensors"))


@pytest.mark.parametrize("prefix", ["module.", "model.", "_orig_mod.", "module.model."])
@pytest.mark.parametrize("counter", ["", "steps", "n_averaged"])
def test_safetensors_of_a_wrapped_model_are_loaded(
    tmp_path: Path, prefix: str, counter: str
) -> None:
    counters = {counter: COUNT} if counter else {}
    save_file({**wrap(STATE, prefix), **counters}, tmp_path / "own.safetensors")
    model = nn.Linear(2, 2)
    load_weights(model, read_weights(tmp_path / "own.safetensors"))
    assert model.weight.tolist() == STATE["weight"].tolist()


def test_names_that_a_model_has_itself_are_no_wrappers(tmp_path: Path) -> None:
    model = nn.ModuleDict({"module": nn.Linear(2, 2)})
    model.register_buffer("steps", torch.tensor(0))
    save_file({**wrap(STATE), "steps": COUNT}, tmp_path / "own.safetensors")
    load_weights(model, read_weights(tmp_path / "own.safetensors"))
    assert model["module"].weight.tolist() == STATE["weight"].tolist()
    assert model.get_buffer("steps") == COUNT


@pytest.mark.parametrize(
    ("state", "prefixes"),
    [
        (wrap(STATE, "detector."), "'detector.'"),
        (wrap(STATE, "net.module."), "'net.module.'"),
        (wrap(wrap(STATE, "net.")), "'module.net.'"),
        ({**wrap(STATE, "teacher."), **wrap(STATE, "student.")}, "'student.' or 'teacher.'"),
        (
            {**wrap(STATE, "ema_model."), **wrap(STATE, "online_model."), "step": COUNT},
            "'ema_model.' or 'online_model.'",
        ),
    ],
)
def test_another_prefix_of_the_models_names_is_named(
    tmp_path: Path, state: dict[str, Tensor], prefixes: str
) -> None:
    save_file({name: each.clone() for name, each in state.items()}, tmp_path / "own.safetensors")
    with pytest.raises(DetectorLoadError, match=f"names that begin with {prefixes}") as caught:
        load_weights(nn.Linear(2, 2), read_weights(tmp_path / "own.safetensors"))
    assert "removeprefix" in caught.value.hint
