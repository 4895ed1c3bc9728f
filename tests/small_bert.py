"""A folder such as open-vocabulary models need, of our own making: BERT's shape, few words."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from string import ascii_lowercase, digits

_SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
_SIGNS = tuple(".,;:!?'-()/_&")


def write_bert(folder: Path, words: Iterable[str], *, layers: int = 12, inner: int = 3072) -> Path:
    """Writes a configuration and a vocabulary; by default with the sizes of BERT's base model.

    Args:
        folder: made if it is not there.
        words: what is one token; any other word is read letter by letter.
        layers: of the encoder.
        inner: width inside each of them.
    """
    folder.mkdir(parents=True, exist_ok=True)
    letters = (*ascii_lowercase, *digits)
    parts = (*_SPECIAL, *_SIGNS, *letters, *(f"##{letter}" for letter in letters), *words)
    vocabulary = tuple(dict.fromkeys(parts))
    (folder / "vocab.txt").write_text("\n".join(vocabulary) + "\n")
    config = {
        "model_type": "bert",
        "vocab_size": len(vocabulary),
        "hidden_size": 768,  # GLIP's fusions know no other
        "num_hidden_layers": layers,
        "num_attention_heads": 12,
        "intermediate_size": inner,
    }
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def write_nltk_data(folder: Path, tags: dict[str, str]) -> None:
    """Writes what noun phrases are found by: no rules for sentences, and a word's one tag.

    Args:
        folder: of the language model.
        tags: word → its part of speech, as `NN` or `DT`.
    """
    data = folder / "nltk_data"
    rules = data / "tokenizers" / "punkt_tab" / "english"
    rules.mkdir(parents=True)
    for name in ("abbrev_types.txt", "collocations.tab", "ortho_context.tab", "sent_starters.txt"):
        (rules / name).write_text("")
    tagger = data / "taggers" / "averaged_perceptron_tagger_eng"
    tagger.mkdir(parents=True)
    kinds = sorted(set(tags.values()))
    for part, value in (("weights", {}), ("tagdict", tags), ("classes", kinds)):
        path = tagger / f"averaged_perceptron_tagger_eng.{part}.json"
        path.write_text(json.dumps(value))
