"""Prompts: what a request says → what mmdet's open-vocabulary models read."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import lru_cache, partial
from pathlib import Path
from typing import Any, Final

from mmdet.models.detectors import glip, grounding_dino

from boxyard_worker.detector.contract import ModelImage
from boxyard_worker.detector.errors import PromptError

_PARTING: Final = ". "
_NOUN_PHRASE: Final = "NP: {<DT>?<JJ.*>*<NN.*>+}"


class Prompts:
    """What a model is asked for.

    Args:
        model: mmdet's, with a language model.
        classes: what it looks for where a request says nothing.
        folder: of the language model; nltk's data is looked for in its `nltk_data` first.
    """

    def __init__(self, model: Any, classes: Sequence[str], folder: Path | None) -> None:
        self._model = model
        self._classes = tuple(classes)
        self._entities = lru_cache(maxsize=256)(self._checked)
        # mmdet's own would fetch what it reads by.
        for module in (glip, grounding_dino):
            vars(module).update(run_ner=partial(find_noun_phrases, folder=folder))

    def read(self, image: ModelImage) -> dict[str, Any]:
        """The meta information of a picture's data sample.

        Raises:
            PromptError: the prompt names nothing, or more than the model can read.
        """
        if image.text is not None and not image.custom_entities:
            self._check_length(image.text, "The prompt")
            return {"text": image.text, "custom_entities": False}
        return {"text": self._entities(image.text), "custom_entities": True}

    def _checked(self, text: str | None) -> tuple[str, ...]:
        names = self._classes if text is None else split_entities(text)
        if not names:
            raise PromptError("empty-prompt", "The prompt names nothing that could be looked for.")
        what = "The list of the model's own classes" if text is None else "The prompt"
        self._check_length(self._model.to_plain_text_prompts(names)[0], what)
        return names

    def _check_length(self, caption: str, what: str) -> None:
        language = self._model.language_model
        count = len(language.tokenizer(caption).input_ids)
        # With `chunked_size` mmdet reads a long list in parts.
        if count > language.max_tokens and self._model.test_cfg.get("chunked_size", -1) <= 0:
            raise PromptError(
                "prompt-too-long",
                f"{what} has {count} tokens, and the model reads {language.max_tokens} at most:"
                " send a text_prompt that names fewer things.",
            )


def split_entities(text: str) -> tuple[str, ...]:
    """The things that a prompt names, as mmdet would call them."""
    parts = text.strip(_PARTING).split(_PARTING)
    names = (glip.clean_label_name(part).strip() for part in parts)
    return tuple(name for name in names if name.strip(_PARTING))


def find_noun_phrases(
    caption: str, folder: Path | None = None
) -> tuple[list[list[list[int]]], list[str]]:
    """Where a sentence's noun phrases stand, and what they are, in lower case.

    It stands for mmdet's `run_ner`; but a phrase that stands there twice is two here.

    Raises:
        PromptError: there is none, or nltk's data is not on this machine.
    """
    lowered = caption.lower()
    phrases = dict.fromkeys(map(glip.remove_punctuation, _parse(lowered, folder)))
    found = [
        ([[match.start(), match.end()]], phrase)
        for phrase in filter(None, phrases)
        for match in re.finditer(re.escape(phrase), lowered)
    ]
    if not found:
        raise PromptError("empty-prompt", "The prompt has no noun that could be looked for.")
    return [place for place, _ in found], [phrase for _, phrase in found]


def _parse(caption: str, folder: Path | None) -> list[str]:
    try:
        tagged = _read_tagger(folder).tag(_tokenise(caption))
    except (ImportError, LookupError) as error:
        raise PromptError(
            "no-noun-phrases",
            "This worker cannot read sentences (it lacks nltk, or its punkt_tab and"
            " averaged_perceptron_tagger_eng): name things, with custom_entities.",
        ) from error
    tree = _read_grammar().parse(tagged)
    phrases = tree.subtrees(lambda part: part.label() == "NP")
    return [" ".join(word for word, _ in phrase.leaves()) for phrase in phrases]


def _tokenise(caption: str) -> list[str]:
    import nltk  # noqa: PLC0415 - a second, which only sentences need

    words: list[str] = nltk.word_tokenize(caption)
    return words


@lru_cache(maxsize=1)
def _read_tagger(folder: Path | None) -> Any:
    import nltk  # noqa: PLC0415

    if folder:
        nltk.data.path.insert(0, str(folder / "nltk_data"))
    return nltk.PerceptronTagger()


@lru_cache(maxsize=1)
def _read_grammar() -> Any:
    import nltk  # noqa: PLC0415

    return nltk.RegexpParser(_NOUN_PHRASE)
