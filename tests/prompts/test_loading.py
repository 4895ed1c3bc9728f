"""How models that read prompts come to be, and which packages the others do without."""

from __future__ import annotations

import re
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from boxyard_schemas.installation import install_command
from boxyard_worker.detector import DetectorLoadError, load_detector
from boxyard_worker.detector.extras import import_all, leave_out
from boxyard_worker.detector.vocabulary import hash_folder

from .conftest import Open, picture

Configure = Callable[[str], Path]


def load(config: Path, language: Path | None) -> Any:
    return load_detector("glip", random_weights=True, config=config, language_model=language)


def test_a_model_that_reads_prompts_is_loaded_and_asked_without_any_network(
    configure: Configure, language: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("something would have been fetched")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    detector = load(configure("glip"), language)
    assert detector.describe().text_prompt
    assert detector.detect([picture(text="dog")])[0].names is not None


def test_a_missing_vocabulary_is_named_with_what_to_fetch(
    configure: Configure, language: Path, tmp_path: Path
) -> None:
    config = configure("grounding-dino")
    (tmp_path / "config.json").write_bytes((language / "config.json").read_bytes())
    for folder in (None, tmp_path, tmp_path / "nowhere"):
        with pytest.raises(DetectorLoadError, match="vocabulary of bert-base-uncased") as missing:
            load(config, folder)
        assert "vocab.txt" in missing.value.hint
        assert "BOXYARD_LANGUAGE_MODEL=DIR" in missing.value.hint


def test_a_missing_extra_is_named() -> None:
    with (
        leave_out("transformers"),
        pytest.raises(DetectorLoadError, match=re.escape(install_command("language"))),
    ):
        import_all(("transformers",), "A model that reads prompts")


def test_a_package_that_no_extra_brings_is_named_too() -> None:
    with pytest.raises(DetectorLoadError, match="The model needs the Python package 'no_such'"):
        import_all(("no_such.part",), "The model")


def test_what_is_left_out_is_back_afterwards() -> None:
    import json

    with leave_out("json", "no_such"), pytest.raises(ModuleNotFoundError):
        import json.decoder
    assert sys.modules["json"] is json
    assert "no_such" not in sys.modules


def test_the_vocabulary_is_part_of_what_a_model_is_known_by(language: Path, tmp_path: Path) -> None:
    for name in ("config.json", "vocab.txt"):
        (tmp_path / name).write_bytes((language / name).read_bytes())
    (tmp_path / "README.md").write_text("not looked at")
    assert hash_folder(tmp_path) == hash_folder(language)
    with (tmp_path / "vocab.txt").open("a") as vocabulary:
        vocabulary.write("more\n")
    assert hash_folder(tmp_path) != hash_folder(language)


def test_old_weights_that_hold_the_tokens_places_are_read(open_model: Open) -> None:
    model = open_model("grounding-dino")._model
    body = "language_model.language_backbone.body.model"
    state = {**model.state_dict(), f"{body}.embeddings.position_ids": torch.arange(512)[None]}
    assert model.load_state_dict(state, strict=False) == ([], [])


def test_untrained_weights_are_the_same_ones_each_time(
    configure: Configure, language: Path
) -> None:
    models = [load(configure("mm-grounding-dino"), language)._model for _ in range(2)]
    one, other = (model.language_model.state_dict() for model in models)
    assert all(torch.equal(one[name], other[name]) for name in one)


@pytest.mark.parametrize(
    ("name", "written", "read"),
    [
        ("rtmdet_l_convnext_b_4xb32-100e_coco", "'mmpretrain.ConvNeXt'", "'ConvNeXt'"),
        ("boxinst_r50_fpn_ms-90k_coco", "'BoxInstDataPreprocessor'", "'DetDataPreprocessor'"),
        ("grounding_dino_r50_scratch_8xb2_1x_coco", "num_cp=6", "'num_cp': 0"),
    ],
    ids=["mmpretrain", "scikit-image", "fairscale"],
)
def test_what_only_training_needs_is_not_asked_for(
    open_model: Open, name: str, written: str, read: str
) -> None:
    open_model("glip")
    from boxyard_worker.detector.catalogue import find_model
    from boxyard_worker.detector.configuration import read_config

    path = find_model(name).config
    told = str(read_config(path).model.to_dict())
    assert written in path.read_text()
    assert read in told
    assert written not in told


def test_convnext_computes_what_torchvision_does(open_model: Open) -> None:
    open_model("glip")
    from torchvision.models import convnext_tiny

    from boxyard_worker.detector.convnext import ConvNeXt

    theirs = convnext_tiny(weights=None).features.eval()
    ours = ConvNeXt(
        "tiny", (0, 1, 2, 3), layer_scale_init_value=1.0, gap_before_final_norm=False
    ).eval()
    for stage in range(4):
        copy(ours.downsample_layers[stage], theirs[2 * stage])
        copy(ours.stages[stage], theirs[2 * stage + 1])
    maps = torch.rand(1, 3, 64, 96)
    with torch.inference_mode():
        found = ours(maps)
        for stage in range(4):
            maps = theirs[2 * stage + 1](theirs[2 * stage](maps))
            normed = getattr(ours, f"norm{stage}")(maps)
            torch.testing.assert_close(found[stage], normed, atol=1e-4, rtol=1e-4)


def copy(ours: torch.nn.Module, theirs: torch.nn.Module) -> None:
    """Gives our parameters their values; a block's scale stands elsewhere in each."""

    def parts(module: torch.nn.Module) -> tuple[list[torch.Tensor], list[torch.Tensor]]:
        named = list(module.named_parameters())
        scales = [value for name, value in named if name.endswith(("gamma", "layer_scale"))]
        others = [value for name, value in named if not name.endswith(("gamma", "layer_scale"))]
        return scales, others

    with torch.no_grad():
        for mine, other in zip(parts(ours), parts(theirs), strict=True):
            for value, source in zip(mine, other, strict=True):
                value.copy_(source.view_as(value))
