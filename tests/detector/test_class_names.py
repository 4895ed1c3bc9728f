"""Class names of a configuration, a data set's type, a checkpoint or a file: used, or refused."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from boxyard_worker.detector import DetectorLoadError, load_detector, mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.checkpoint import write_weights
from boxyard_worker.detector.configuration import read_config
from boxyard_worker.detector.data_sets import class_names
from boxyard_worker.detector.labels import read_labels
from boxyard_worker.detector.weights import read_weights

DEMO = find_model("rtmdet-ins_demo").config.read_text()
STATE = nn.Linear(2, 2).state_dict()


@pytest.fixture(autouse=True)
def _scope() -> None:
    mmdetection.init_default_scope("mmdet")


@pytest.fixture
def write(tmp_path: Path) -> Callable[[str], Path]:
    """Writes a configuration."""

    def write_text(text: str) -> Path:
        (tmp_path / "own.py").write_text(text)
        return tmp_path / "own.py"

    return write_text


@pytest.mark.parametrize(
    ("classes", "fault"),
    [
        ("(0, 1, 2, 3)", "name 1 of 4 is not text but the int 0"),
        ("('a', 'b', 'a', 'c')", "name 3 of 4 repeats 'a'"),
        ("('a', ' ', 'b', 'c')", "name 2 of 4 is empty"),
        ("('a', 'b\\u200e', 'c', 'd')", r"name 2 of 4 begins or ends with .* U\+200E"),
        ("('a', 'bc', 'b\\u200dc', 'd')", "name 3 of 4 repeats"),
        ("('a', None, 'b', 'c')", "name 2 of 4 is not text"),
        ("('a', 'b\\n', 'b', 'c')", "name 2 of 4 holds a control character"),
        ("('a', 'b')", "tells 4 classes apart, and 2 class names"),
        ("()", "tells 4 classes apart, and 0 class names"),
        ("{0: 'a', 1: 'b'}", "not a list of texts"),
        ("{'a', 'b', 'c', 'd'}", "are a set, not a list"),
        ("(b'a', b'b', b'c', b'd')", "not text but the bytes"),
        ("'absent.txt'", "in the file absent.txt, which is not in"),
        ("'data/absent'", "in the file data/absent, which is not in"),
        ("'carton'", "and 1 class names"),
    ],
)
def test_class_names_of_a_configuration_that_cannot_be_used_are_refused_at_load(
    write: Callable[[str], Path], classes: str, fault: str
) -> None:
    for line in (f"classes={classes}, palette=[(1, 2, 3)]", f"CLASSES={classes}"):
        own = DEMO.replace('classes=("carton", "milk_bottle", "can", "water_bottle")', line)
        with pytest.raises(DetectorLoadError, match=fault):
            load_detector("own", random_weights=True, config=write(own))


def test_class_names_that_cannot_be_used_are_refused_though_the_weights_have_others(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    demo = find_model("rtmdet-ins_demo")
    own = write(DEMO.replace('classes=("carton", "milk_bottle",', 'classes=(0, "milk_bottle",'))
    with pytest.raises(DetectorLoadError, match="name 1 of 4 is not text but the int 0"):
        load_detector("own", config=own, weights=demo.weights)
    (tmp_path / "names.txt").write_text("a\nb\nc\nd\n")
    named = load_detector("own", config=own, weights=demo.weights, classes=tmp_path / "names.txt")
    assert named.describe().classes == ("a", "b", "c", "d")


def register(content: dict[str, object], base: str = "CocoDataset") -> type[Any]:
    """Registers the operator's own type of data set, as a module of `custom_imports` does."""
    from mmdet.registry import DATASETS

    kind: type[Any] = type("Shelf", (DATASETS.get(base),), content)
    DATASETS.register_module(name="Shelf", module=kind, force=True)
    return kind


SHELF = DEMO.replace('"CocoDataset", metainfo=metainfo', '"Shelf"').replace("metainfo =", "notes =")


@pytest.mark.parametrize(
    ("metainfo", "fault"),
    [
        ({"classes": (0, 1, 2, 3)}, "Shelf has .* name 1 of 4 is not text but the int 0"),
        ({"classes": ("a", "a", "b", "c")}, "Shelf has .* name 2 of 4 repeats 'a'"),
        ({"CLASSES": ["a", "", "b", "c"]}, "Shelf has .* name 2 of 4 is empty"),
        ({"classes": ("a", "b\n", "c", "d")}, "Shelf has .* holds a control character"),
        ({"classes": b"abcd"}, "Shelf has .* are a bytes, not a list"),
        ({"classes": {0: "a", 1: "b"}}, "Shelf has .* are a dict, not a list"),
        ({"classes": "absent.txt"}, "Shelf has .* in the file absent.txt"),
        ({"classes": 4}, "Shelf has .* are a int, not a list"),
        ({"classes": None}, "and 0 class names"),
        (None, "and 0 class names"),
        (property(lambda _: {}), "Shelf has .* are a property, not a list"),
    ],
)
def test_class_names_of_ones_own_data_set_type_that_cannot_be_used_are_refused(
    write: Callable[[str], Path], metainfo: object, fault: str
) -> None:
    own = write(SHELF)
    register({"METAINFO": metainfo})
    with pytest.raises(DetectorLoadError, match=fault):
        load_detector("own", random_weights=True, config=own)


def test_class_names_of_ones_own_data_set_type_are_used_and_may_be_inherited(
    write: Callable[[str], Path],
) -> None:
    config = read_config(write(SHELF))
    register({"METAINFO": {"classes": tuple(np.array(["can", "carton"]))}})
    assert [(type(name), name) for name in class_names(config)] == [(str, "can"), (str, "carton")]
    published = register({}, "LVISV1Dataset").METAINFO["classes"]
    assert class_names(config) == tuple(published)


def test_names_in_the_weights_are_checked_though_the_data_set_type_has_the_same(
    write: Callable[[str], Path], tmp_path: Path
) -> None:
    weights = find_model("rtmdet-ins_demo").weights
    assert weights
    numbered = tmp_path / "own.safetensors"
    save_file(load_file(weights), numbered, {"classes": "[0, 1, 2, 3]"})
    register({"METAINFO": {"classes": (0, 1, 2, 3)}})
    with pytest.raises(DetectorLoadError, match="name 1 of 4 is not text but the int 0"):
        load_detector("own", weights=numbered, config=write(SHELF))


@pytest.mark.parametrize(
    ("classes", "fault"),
    [
        ((0, 1, 2, 3), "not text but the int 0"),
        (("a", "b", "b", "c"), "repeats 'b'"),
        (("a", "", "b", "c"), "name 2 of 4 is empty"),
        (("a\nb", "b", "c", "d"), "control character"),
        (("a", "b", "c"), "tells 4 classes apart, and 3"),
        ({0: "a", 1: "b", 2: "b", 3: "c"}, "repeats 'b'"),
        ({"a": 0, "b": 1, "c": 2, "d": 3}, "are a dict, not a list"),
        ({"a", "b", "c", "d"}, "not a list of texts"),
        (torch.ones(4).numpy(), "are a ndarray, not a list of texts"),
        ((b"a", b"b", b"c", b"d"), "name 1 of 4 is not text but the bytes"),
        (("a", np.int64(0), "c", "d"), "name 2 of 4 is not text but the scalar"),
        (("a", torch.tensor(0), "c", "d"), "name 2 of 4 is not text but the Tensor"),
        (("a", "b", {"c"}, "d"), "name 3 of 4 is not text but the set"),
        (("a", "b", "c", datetime.date(2026, 1, 1)), "name 4 of 4 is not text but the date"),
        (("a", "b", "c", np.bytes_(b"caf\xe9")), "name 4 of 4 is not text but the scalar"),
        (("a", "b", "c", None), "name 4 of 4 is not text but the NoneType"),
        (("a", "b", "c", ["d"]), "name 4 of 4 is not text but the list"),
        ({("a", 0): "b"}, "are a dict, not a list"),
        (b"abcd", "are a bytes, not a list"),
        (0, "are a int, not a list"),
    ],
)
def test_class_names_of_a_checkpoint_that_cannot_be_used_are_refused_at_load(
    tmp_path: Path, classes: tuple[object, ...], fault: str
) -> None:
    demo = find_model("rtmdet-ins_demo")
    assert demo.weights
    state = dict(read_weights(demo.weights).state)
    torch.save({"state_dict": state, "meta": {"CLASSES": classes}}, tmp_path / "own.pth")
    file = tmp_path / "own.safetensors"
    write_weights(tmp_path / "own.pth", "", file)
    with pytest.raises(DetectorLoadError, match=fault):
        load_detector("own", config=demo.config, weights=file)


@pytest.mark.parametrize(
    "name",
    [np.str_("gläsern"), np.array("gläsern", ">U9")[()], np.bytes_("gläsern".encode())],
    ids=["text", "big-endian text", "bytes"],
)
@pytest.mark.parametrize("old", [True, False])
def test_a_text_scalar_of_numpy_is_read_as_text(tmp_path: Path, name: object, old: bool) -> None:
    for classes in ([name, "can"], {0: name, 1: "can"}):
        content = {"state_dict": STATE, "meta": {"CLASSES": classes}}
        torch.save(content, tmp_path / "own.pth", _use_new_zipfile_serialization=not old)
        write_weights(tmp_path / "own.pth", "", tmp_path / "own.safetensors")
        assert read_weights(tmp_path / "own.safetensors").classes == ("gläsern", "can")


@pytest.mark.parametrize(
    "data",
    [
        b"\xef\xbb\xbfcan\r\ncarton\r\n\r\n",
        "\ufeffcan\ncarton".encode("utf-16-le"),
        "\ufeffcan\ncarton\n".encode("utf-16-be"),
        "\ufeffcan\ncarton\n".encode("utf-32-le"),
        "\ufeffcan\ncarton\n".encode("utf-32-be"),
        b"can\rcarton\r",
        b" can \n carton\t\n\n \n",
    ],
    ids=["utf-8 mark", "utf-16", "utf-16 big", "utf-32", "utf-32 big", "old line ends", "spaces"],
)
def test_names_are_read_in_every_encoding_that_says_what_it_is(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "names.txt").write_bytes(data)
    assert read_labels(tmp_path / "names.txt") == ("can", "carton")


@pytest.mark.parametrize(
    ("data", "fault"),
    [
        (b"can\nca\0rton\n", "Line 2 .* control character"),
        ("can\nca\ufeffrton".encode(), "Line 2 .* control character"),
        ("can\n\u200b\ncarton".encode(), "Line 2 .* is empty"),
        ("can\ngl\u00e4s\ngla\u0308s".encode(), "Line 3 .* repeats"),
        ("can\ncarton".encode("utf-16-le"), "UTF-16 or UTF-32 without a byte order mark"),
        ("can\ncarton".encode("utf-32-be"), "UTF-16 or UTF-32 without a byte order mark"),
        ("can\ngl\u00e4s".encode("latin-1"), "line 2 is not in UTF-8; it holds the byte 0xE4"),
        ("can\nflasche".encode("utf-16")[:-1], "is not in UTF-16"),
        (b"- can\n- carton\n", "are a YAML list"),
        (b"names:\n  - can\n  - carton\n", "are a YAML list"),
        (b"names:\n  0: can\n  1: carton\n", "are a YAML list"),
        ("can\u200b\ncarton".encode(), r"Line 1 .* invisible character U\+200B"),
        ("can\n\u202ecarton".encode(), r"Line 2 .* invisible character U\+202E"),
        ("can\ncarton \u2060".encode(), r"Line 2 .* invisible character U\+2060"),
        ("milk can\nmilk\u200d can".encode(), "Line 2 .* repeats"),
        ("milkcan\nmilk\u00adcan".encode(), "Line 2 .* repeats"),
        (b"can\tcarton\n", "control character"),
        (b"x" * 2000, "2000 characters"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\n", "Git LFS pointer"),
        (json.dumps({"a": 1}).encode(), "JSON text"),
        (b"PK\x03\x04archive", "PyTorch checkpoint"),
        (b"", "Line 1 .* is empty"),
    ],
)
def test_names_that_cannot_be_used_are_refused(tmp_path: Path, data: bytes, fault: str) -> None:
    (tmp_path / "names.txt").write_bytes(data)
    with pytest.raises(DetectorLoadError, match=fault):
        read_labels(tmp_path / "names.txt")


def test_joiners_within_a_name_stay_and_a_name_may_have_a_hyphen(tmp_path: Path) -> None:
    names = (
        "\u0646\u0645\u06cc\u200c\u062e\u0648\u0627\u0647\u0645",
        "- 1",
        "top: a",
        "\U0001f469\u200d\U0001f680",
    )
    (tmp_path / "names.txt").write_text("\n".join(names), encoding="utf-8")
    assert read_labels(tmp_path / "names.txt") == names
