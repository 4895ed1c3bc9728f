from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from boxyard_worker.detector.contract import RawDetections
from boxyard_worker.detector.errors import PromptError

from .conftest import FAMILIES, Open, picture

every_family = pytest.mark.parametrize("family", FAMILIES)


def agree(one: RawDetections, other: RawDetections) -> None:
    assert one.names == other.names
    np.testing.assert_array_equal(one.labels, other.labels)
    np.testing.assert_allclose(one.scores, other.scores, atol=1e-5)
    np.testing.assert_allclose(one.boxes, other.boxes, atol=1e-2)


@every_family
def test_a_prompt_names_what_is_found(open_model: Open, family: str) -> None:
    (found,) = open_model(family).detect([picture(text="red cat. dog")])
    assert len(found.scores)
    assert found.names is not None
    assert [("red cat", "dog")[label] for label in found.labels] == list(found.names)
    assert set(found.names) == {"red cat", "dog"}
    assert np.isfinite(found.scores).all()


@every_family
def test_without_a_prompt_the_models_own_classes_are_looked_for(
    open_model: Open, family: str
) -> None:
    detector = open_model(family)
    (said,) = detector.detect([picture(text="person. dog. traffic light")])
    (own,) = detector.detect([picture()])
    assert own.names is None
    np.testing.assert_array_equal(own.labels, said.labels)
    np.testing.assert_array_equal(own.scores, said.scores)
    assert detector.describe().classes == ("person", "dog", "traffic light")
    assert detector.describe().text_prompt


@every_family
def test_mates_change_nothing_and_those_with_another_prompt_are_none(
    open_model: Open, family: str
) -> None:
    detector = open_model(family)
    asked = [picture(seed, text="cat. dog") for seed in range(3)]
    for alone, image in zip(detector.detect(asked), asked, strict=True):
        agree(alone, detector.detect([image])[0])
    groups = {detector.group(image) for image in asked}
    assert len(groups) == 1
    assert detector.group(picture(text="cat. dog. the bottle")) not in groups
    assert detector.group(picture(text="cat. dog", custom_entities=False)) not in groups
    assert detector.group(picture()) not in groups


@every_family
def test_a_prompt_is_read_as_mmdet_reads_it(open_model: Open, family: str) -> None:
    detector = open_model(family)
    (ours,) = detector.detect([picture(text="red_cat . dog. ")])
    theirs = ask_mmdet(detector, text="red_cat . dog. ", custom_entities=True)
    assert ours.names == tuple(name.strip() for name in theirs.label_names)
    np.testing.assert_array_equal(ours.scores, theirs.scores.numpy())


@every_family
def test_a_sentence_names_its_noun_phrases(open_model: Open, family: str) -> None:
    detector = open_model(family)
    (found,) = detector.detect([picture(text="The dog sees a red cat.", custom_entities=False)])
    assert found.names is not None
    assert set(found.names) == {"the dog", "a red cat"}
    assert [("the dog", "a red cat")[label] for label in found.labels] == list(found.names)


def test_a_phrase_that_stands_twice_is_two(open_model: Open) -> None:
    (found,) = open_model("glip").detect(
        [picture(text="the dog sees the dog", custom_entities=False)]
    )
    assert found.names is not None
    assert set(zip(found.labels.tolist(), found.names, strict=True)) == {
        (0, "the dog"),
        (1, "the dog"),
    }


@pytest.mark.parametrize(
    ("text", "entities", "code"),
    [
        ("dog. " * 128, True, "prompt-too-long"),
        ("dog " * 255, False, "prompt-too-long"),
        ("(a). (b)", True, "empty-prompt"),
        ("_", True, "empty-prompt"),
        ("and sees", False, "empty-prompt"),
    ],
    ids=["things", "sentence", "in-brackets", "underscore", "no-noun"],
)
def test_a_prompt_that_cannot_be_heeded_is_said_to_be_so(
    open_model: Open, text: str, entities: bool, code: str
) -> None:
    with pytest.raises(PromptError) as refused:
        open_model("glip").detect([picture(text=text, custom_entities=entities)])
    assert refused.value.code == code


def test_as_many_tokens_as_the_model_reads_are_read(open_model: Open) -> None:
    (found,) = open_model("glip").detect([picture(text="dog. " * 127)])
    assert np.isfinite(found.scores).all()


def test_own_classes_that_the_model_cannot_read_at_once_leave_it_to_prompts(
    open_model: Open,
) -> None:
    detector = open_model("glip")
    from boxyard_worker.detector.prompts import Prompts

    crowded = Prompts(detector._model, ["unspeakable"] * 40, None)
    with pytest.raises(PromptError, match="own classes has 481 tokens") as refused:
        crowded.read(picture())
    assert refused.value.code == "prompt-too-long"
    assert crowded.read(picture(text="dog")) == {"text": ("dog",), "custom_entities": True}


def test_a_worker_that_cannot_read_sentences_says_so(
    open_model: Open, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_model("glip")
    import nltk

    from boxyard_worker.detector import prompts

    monkeypatch.setattr(nltk.data, "path", [])
    prompts._read_tagger.cache_clear()
    with pytest.raises(PromptError, match="punkt_tab") as refused:
        prompts.find_noun_phrases("a dog", tmp_path)
    prompts._read_tagger.cache_clear()
    assert refused.value.code == "no-noun-phrases"


def ask_mmdet(detector: Any, **said: object) -> Any:
    """What mmdet's own model answers to the same picture."""
    packed = detector._pack([picture()])
    packed["data_samples"][0].set_metainfo(said)
    with torch.inference_mode():
        return detector._model.test_step(packed)[0].pred_instances
