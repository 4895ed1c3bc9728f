"""BERT, by which GLIP and Grounding DINO read prompts; from a folder, never fetched.

mmdet's own use of transformers fits none of its versions of the last years, so what mmdet would
take from there stands here: the language model, and the layer that GLIP puts between its fusions.
Parameters have the same names, because published weights go by these.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import torch
from mmdet.models.dense_heads import atss_vlfusion_head
from mmdet.models.language_models.bert import generate_masks_with_special_tokens_and_transfer_map
from mmdet.registry import MODELS
from mmengine.model import BaseModel
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer
from transformers.models.bert import modeling_bert

_MOST: Final = 50_000.0
"""GLIP keeps what its fusions add up between plus and minus this."""


class _Body(nn.Module):
    def __init__(self, folder: Path, pooled: bool) -> None:
        super().__init__()
        # The plainest of its attentions, which takes a mask of any kind.
        config = BertConfig.from_pretrained(
            folder, local_files_only=True, attn_implementation="eager"
        )
        self.model = BertModel(config, add_pooling_layer=pooled)
        self.language_dim = config.hidden_size


@MODELS.register_module(name="BertModel", force=True)
class LanguageModel(BaseModel):
    """From captions to what BERT makes of each of their tokens.

    Args:
        name: folder of its configuration and vocabulary.
        max_tokens: of a caption; what is longer is cut.
        pad_to_max: pad captions to `max_tokens`, not to the longest of them.
        use_sub_sentence_represent: tokens see only their own part of the caption.
        special_tokens_list: the tokens that part it then.
        add_pooling_layer: whether the weights have one; it is not used.
        num_layers_of_embedded: so many of the last layers are averaged.
        use_checkpoint: for training; does nothing.
    """

    def __init__(
        self,
        name: str,
        *,
        max_tokens: int = 256,
        pad_to_max: bool = True,
        use_sub_sentence_represent: bool = False,
        special_tokens_list: Sequence[str] = (),
        add_pooling_layer: bool = False,
        num_layers_of_embedded: int = 1,
        use_checkpoint: bool = False,
        init_cfg: Any = None,
    ) -> None:
        super().__init__(init_cfg=init_cfg)
        self.max_tokens = max_tokens
        self.pad_to_max = pad_to_max
        self.tokenizer = BertTokenizer.from_pretrained(name, local_files_only=True)
        body = _Body(Path(name), add_pooling_layer)
        self.language_backbone = nn.Sequential(OrderedDict(body=body))
        self._parting = self.tokenizer.convert_tokens_to_ids(list(special_tokens_list))
        self._in_parts = use_sub_sentence_represent
        self._layers = num_layers_of_embedded
        self.register_load_state_dict_pre_hook(_forget_positions)

    def init_weights(self) -> None:
        """Gives it untrained weights as BERT begins with, drawn now."""
        for module in self.language_backbone.modules():
            if isinstance(module, nn.Linear | nn.Embedding):
                nn.init.normal_(module.weight, std=0.02)
            if isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, captions: Sequence[str], **_: Any) -> dict[str, Tensor]:
        """Reads captions, equal ones once.

        Returns:
            `embedded` and `hidden`, `(captions, tokens, width)`; `masks`, the tokens that may be
            looked at, `(captions, tokens)` or in parts `(captions, tokens, tokens)`; and in parts
            `position_ids` and `text_token_mask`, `(captions, tokens)`.
        """
        unlike = list(dict.fromkeys(captions))
        read = self._read(unlike)
        places = [unlike.index(caption) for caption in captions]
        return {name: values[places] for name, values in read.items()}

    def _read(self, captions: list[str]) -> dict[str, Tensor]:
        tokens = self.tokenizer(
            captions,
            max_length=self.max_tokens,
            padding="max_length" if self.pad_to_max else "longest",
            truncation=True,
            return_tensors="pt",
        ).to(next(self.parameters()).device)
        masks, positions = tokens.attention_mask, None
        if self._in_parts:
            masks, positions = generate_masks_with_special_tokens_and_transfer_map(
                tokens, self._parting
            )
        states = list(self._infer(tokens, masks, positions))
        embedded = torch.stack(states[-self._layers :], 1).mean(1) / self._layers
        read = {"masks": masks, "hidden": states[-1], "embedded": embedded}
        if positions is None:
            return {**read, "embedded": embedded * masks.unsqueeze(-1).float()}
        seen = tokens.attention_mask.bool()
        return {**read, "position_ids": positions, "text_token_mask": seen}

    def _infer(self, tokens: Any, masks: Tensor, positions: Tensor | None) -> Sequence[Tensor]:
        rows = masks if masks.dim() == 3 else masks[:, None].expand(-1, masks.shape[1], -1)
        body: Any = self.language_backbone.body
        inferred = body.model(
            input_ids=tokens.input_ids,
            token_type_ids=tokens.token_type_ids,
            position_ids=positions,
            attention_mask=_block(rows, torch.float32),
            output_hidden_states=True,
        )
        states: Sequence[Tensor] = inferred.hidden_states[1:]
        return states


class FusionLayer(nn.Module):
    """A layer of BERT whose sums are kept from running away; GLIP has one in each fusion."""

    def __init__(self, config: BertConfig, **_: bool) -> None:
        super().__init__()
        parts: Any = modeling_bert
        self.attention = parts.BertAttention(config)
        self.intermediate = parts.BertIntermediate(config)
        self.output = parts.BertOutput(config)

    def forward(self, inputs: dict[str, Any]) -> dict[str, Any]:
        """Carries `inputs["lang"]["hidden"]`, `(n, tokens, width)`, through the layer."""
        lang: dict[str, Tensor] = inputs["lang"]
        hidden = lang["hidden"]
        rows = lang["masks"][:, None].expand(-1, hidden.shape[1], -1)
        attended = self.attention.output(self._attend(hidden, rows), hidden)
        inner = _keep(self.intermediate.dense(attended))
        inner = _keep(self.intermediate.intermediate_act_fn(inner))
        outer = _keep(self.output.dense(inner)) + attended
        return {**inputs, "lang": {**lang, "hidden": _keep(self.output.LayerNorm(outer))}}

    def _attend(self, hidden: Tensor, rows: Tensor) -> Tensor:
        attention: Any = self.attention.self
        heads = attention.num_attention_heads
        query, key, value = (
            project(hidden).unflatten(-1, (heads, -1)).transpose(1, 2)
            for project in (attention.query, attention.key, attention.value)
        )
        scores = _keep(query @ key.transpose(-1, -2) / math.sqrt(query.shape[-1]))
        weights = (scores + _block(rows, scores.dtype)).softmax(-1)
        mixed: Tensor = weights @ value
        return mixed.transpose(1, 2).flatten(2)


def _keep(values: Tensor) -> Tensor:
    return values.clamp(-_MOST, _MOST)


def _block(rows: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to the scores `(n, heads, tokens, tokens)` where a token may not look."""
    blocked = 1.0 - rows[:, None].to(dtype)
    return blocked * torch.finfo(dtype).min


def _forget_positions(_: nn.Module, state: dict[str, Any], prefix: str, *__: Any) -> None:
    # Old weights hold 0, 1, 2, … as a parameter; BERT has counted by itself since.
    state.pop(f"{prefix}language_backbone.body.model.embeddings.position_ids", None)


vars(atss_vlfusion_head).update(BertConfig=BertConfig, BertEncoderLayer=FusionLayer)
