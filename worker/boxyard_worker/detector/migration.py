"""Published parameters → what a model of mmdet 3 wants, by stated rules and no others.

mmdet itself loads what fits and warns of the rest. Here nothing is left out silently: a rule says
why a name may differ, may be left over or may be missing, and all else is refused.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import NamedTuple

from torch import Tensor


class Rename(NamedTuple):
    """Parameters that older versions call otherwise; a pattern, and what stands for it now."""

    old: str
    new: str
    why: str


class Exempt(NamedTuple):
    """Names that a file may hold beyond what the model wants, or lack."""

    names: str
    why: str
    missing: bool


RENAMES = (
    Rename(
        r"segm_head\.(.+)",
        r"mask_head.segm_branch.\1",
        "YOLACT's semantic branch, which training alone uses, was a head of its own in mmdet 2.",
    ),
    Rename(
        r"(.+)_offset\.(weight|bias)",
        r"\1.conv_offset.\2",
        "Deformable convolutions of mmdet 1 kept the offsets' convolution beside themselves. mmcv "
        "would move it, but torch shows a module no names beside its own any more.",
    ),
    *(
        Rename(old, new, "mmdet 3 took the transformer of DETR and its kin out of the head.")
        for old, new in (
            (r"bbox_head\.transformer\.(.+\.\d+)\.attentions\.0\.(.+)", r"\1.self_attn.\2"),
            (r"bbox_head\.transformer\.(.+\.\d+)\.attentions\.1\.(.+)", r"\1.cross_attn.\2"),
            (r"bbox_head\.transformer\.(.+\.\d+)\.ffns\.0\.(.+)", r"\1.ffn.\2"),
            (r"bbox_head\.transformer\.enc_output\.(.+)", r"memory_trans_fc.\1"),
            (r"bbox_head\.transformer\.enc_output_norm\.(.+)", r"memory_trans_norm.\1"),
            (r"bbox_head\.transformer\.(pos_trans|reference_points)\.(.+)", r"\1_fc.\2"),
            (r"bbox_head\.transformer\.level_embeds", r"level_embed"),
            (r"bbox_head\.(?:transformer\.)?(.+)", r"\1"),
            (r"bbox_head\.input_proj\.(.+)", r"neck.convs.0.conv.\1"),
        )
    ),
)

EXEMPT = (
    Exempt(
        r"num_batches_tracked", "Counts training steps; with a momentum nothing reads it.", True
    ),
    Exempt(
        r"loss\w*\.(.+\.)?\w+",
        "Losses keep statistics of their training, such as GHM's and Seesaw's; detection has none.",
        True,
    ),
    Exempt(
        r"integral\.project",
        "Numbers from 0 to the configuration's `reg_max`, which the model makes itself.",
        True,
    ),
    Exempt(
        r"relative_position_index|attn_mask",
        "Swin's tables of places, which the model makes itself from its window's size.",
        True,
    ),
    Exempt(
        r"embeddings\.position_ids",
        "BERT's numbers from 0 on, which transformers stopped keeping in 4.31.",
        True,
    ),
    Exempt(
        r"pooler\.dense\.(weight|bias)",
        "BERT's summary of a whole text, where detectors read its words.",
        True,
    ),
    Exempt(
        r"dn_query_generator\.label_embedding\.weight",
        "DINO's noisy labels are for training alone; converted Grounding DINO came without them.",
        True,
    ),
    Exempt(
        r"data_preprocessor\.(mean|std)",
        "The configuration's mean and deviation, which early mmdet 3 kept beside the parameters.",
        False,
    ),
    Exempt(
        r"teacher_model\..+",
        "A distilled model's teacher has no part in detection.",
        False,
    ),
)

_LEFT_OVER = re.compile("|".join(rf"(.+\.)?({rule.names})" for rule in EXEMPT))
_MISSING = re.compile("|".join(rf"(.+\.)?({rule.names})" for rule in EXEMPT if rule.missing))


def rename_parameters(state: Mapping[str, Tensor], wanted: Collection[str]) -> dict[str, Tensor]:
    """Gives older names their successors, where the model wants these and the file lacks them."""
    renamed = {}
    # mmdet 2 kept a moving average under names without dots; some files hold nothing else.
    averages = {f"ema_{name.replace('.', '_')}": name for name in wanted}
    for name, tensor in state.items():
        new = averages.get(name) or _rename(name, wanted) if name not in wanted else name
        renamed[name if new in state else new] = tensor
    return renamed


def keep_unexplained(left_over: Collection[str], missing: Collection[str]) -> tuple[list[str], ...]:
    """Of the names that differ, those that no rule allows for: left over, and missing."""
    return (
        [name for name in left_over if not _LEFT_OVER.fullmatch(name)],
        [name for name in missing if not _MISSING.fullmatch(name)],
    )


def _rename(name: str, wanted: Collection[str]) -> str:
    for rule in RENAMES:
        new, found = re.subn(rf"^{rule.old}$", rule.new, name)
        if found and new in wanted:
            return new
    return name
