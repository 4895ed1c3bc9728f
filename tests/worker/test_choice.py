"""A worker serves the catalogue's model with what was pulled, or the operator's own."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from boxyard_schemas.errors import SetupError
from boxyard_worker.detect.choice import choose_model
from boxyard_worker.settings import DetectSettings
from boxyard_worker.weights.cache import Cache, Record

NAME = "rtmdet-ins_tiny_8xb32-300e_coco"


@pytest.fixture
def pulled(tmp_path: Path) -> Record:
    (tmp_path / "draft").write_bytes(b"weights")
    cache = Cache(tmp_path / "cache")
    return cache.add(NAME, tmp_path / "draft", source="here", source_sha256="0" * 64)


def choose(tmp_path: Path, **given: object) -> DetectSettings:
    settings = {"weights_dir": tmp_path / "cache", "model": NAME, **given}
    return choose_model(DetectSettings.model_validate(settings))


@pytest.mark.parametrize("spelling", [NAME, f"mmd-3x-{NAME}", f"mmdet-3x-{NAME}"])
def test_pulled_weights_are_found_by_any_spelling_and_held_to_their_digest(
    tmp_path: Path, pulled: Record, spelling: str
) -> None:
    chosen = choose(tmp_path, model=spelling)
    assert chosen.model == NAME
    assert chosen.weights == str(Cache(tmp_path / "cache").path(pulled))
    assert chosen.weights_sha256 == pulled.sha256


def test_the_operators_own_digest_counts_more_than_the_record(
    tmp_path: Path, pulled: Record
) -> None:
    assert choose(tmp_path, weights_sha256="ab" * 32).weights_sha256 == "ab" * 32


@pytest.mark.parametrize("weights", ["random", "own.safetensors"])
def test_weights_that_are_given_are_used_as_they_are(
    tmp_path: Path, pulled: Record, weights: str
) -> None:
    chosen = choose(tmp_path, weights=weights)
    assert (chosen.weights, chosen.weights_sha256) == (weights, None)


def test_without_pulled_weights_the_model_keeps_its_packaged_ones_if_any(tmp_path: Path) -> None:
    assert choose(tmp_path, model="rtmdet-ins_demo").weights is None
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({}, f"boxyard models pull {NAME}"),
        ({"model": "rtmdet-ins_tinny"}, "Did you mean rtmdet-ins_tiny.*--config FILE"),
    ],
    ids=["no weights", "misspelt"],
)
def test_what_cannot_be_served_is_said_before_anything_is_loaded(
    tmp_path: Path, given: dict[str, object], why: str
) -> None:
    with pytest.raises(SetupError, match=why):
        choose(tmp_path, **given)
    assert choose(tmp_path, **given, detector="standin").weights is None


def test_weights_that_are_gone_are_named_with_their_remedy(tmp_path: Path, pulled: Record) -> None:
    Cache(tmp_path / "cache").path(pulled).unlink()
    with pytest.raises(SetupError, match=f"boxyard models pull {NAME}"):
        choose(tmp_path)


def test_a_damaged_record_does_not_pass_for_none(tmp_path: Path, pulled: Record) -> None:
    record = tmp_path / "cache" / "models" / f"{NAME}.json"
    record.write_text(json.dumps({**json.loads(record.read_text()), "sha256": "short"}))
    with pytest.raises(SetupError, match="is damaged"):
        choose(tmp_path)


@pytest.mark.parametrize("name", [NAME, f"mmd-3x-{NAME}", "rtmdet-ins_demo"])
def test_a_configuration_of_ones_own_takes_no_name_of_the_catalogue(
    tmp_path: Path, name: str
) -> None:
    with pytest.raises(SetupError, match="a name of its own: --model NAME"):
        choose(tmp_path, model=name, config="own.py", weights="own.safetensors")


def test_a_model_of_ones_own_is_served_under_its_name(tmp_path: Path) -> None:
    own = {"model": "our-shelf_v2", "config": "own.py", "weights": "w.safetensors"}
    assert choose(tmp_path, **own, classes="names.txt").model == "our-shelf_v2"


@pytest.mark.parametrize(
    ("given", "why"),
    [
        ({"model": "ours", "config": "own.py"}, "--weights"),
        ({"model": "our model", "config": "own.py", "weights": "w"}, "cannot be called"),
        ({"model": "../ours", "config": "own.py", "weights": "w"}, "cannot be called"),
        ({"classes": "names.txt"}, "--config"),
    ],
    ids=["no weights", "a space", "a path", "classes alone"],
)
def test_a_model_of_ones_own_must_be_whole(
    tmp_path: Path, given: dict[str, object], why: str
) -> None:
    with pytest.raises(SetupError, match=why):
        choose(tmp_path, **given)
