"""ConvNeXt, the one backbone that mmdet's index takes from mmpretrain.

mmpretrain itself is no longer kept, brings nine packages and cannot be imported beside a current
transformers. Parameters have the names that it gave them, because published weights go by these;
for predictions only, so the options for training do nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from mmdet.registry import MODELS
from mmengine.model import BaseModule
from torch import Tensor, nn, ones
from torch.nn import functional

_ARCHITECTURES: Final = {
    "tiny": ((3, 3, 9, 3), (96, 192, 384, 768)),
    "small": ((3, 3, 27, 3), (96, 192, 384, 768)),
    "base": ((3, 3, 27, 3), (128, 256, 512, 1024)),
    "large": ((3, 3, 27, 3), (192, 384, 768, 1536)),
    "xlarge": ((3, 3, 27, 3), (256, 512, 1024, 2048)),
}
"""Blocks and channels of each stage."""

_INITIAL: Final = (
    {"type": "TruncNormal", "layer": ["Conv2d", "Linear"], "std": 0.02, "bias": 0.0},
    {"type": "Constant", "layer": ["LayerNorm"], "val": 1.0, "bias": 0.0},
)


@MODELS.register_module()
class ConvNeXt(BaseModule):
    """From pictures `(n, 3, height, width)` to the feature maps of some stages.

    Args:
        arch: a name of an architecture.
        out_indices: the stages whose maps are given, each normalised.
        layer_scale_init_value: what a block's scale begins with.
        gap_before_final_norm: must be False; True is for classifiers.
        training: options that change nothing in predictions.
    """

    def __init__(
        self,
        arch: str,
        out_indices: Sequence[int],
        layer_scale_init_value: float = 1e-6,
        *,
        gap_before_final_norm: bool,
        init_cfg: Any = None,
        **training: Any,
    ) -> None:
        super().__init__(init_cfg=init_cfg or list(_INITIAL))
        unknown = set(training) - {"drop_path_rate", "frozen_stages", "with_cp"}
        if gap_before_final_norm or unknown:
            raise ValueError(f"a ConvNeXt for detection knows no {unknown or 'pooled maps'}")
        depths, channels = _ARCHITECTURES[arch]
        self._out_indices = tuple(out_indices)
        self.downsample_layers = nn.ModuleList(
            _make_entry(before, after)
            for before, after in zip((3, *channels), channels, strict=False)
        )
        self.stages = nn.ModuleList(
            nn.Sequential(*(_Block(width, layer_scale_init_value) for _ in range(depth)))
            for depth, width in zip(depths, channels, strict=True)
        )
        for index in self._out_indices:
            self.add_module(f"norm{index}", _ChannelNorm(channels[index], eps=1e-6))

    def forward(self, maps: Tensor) -> tuple[Tensor, ...]:
        """Gives one map for each of `out_indices`, `(n, channels, height, width)`."""
        given = []
        for index, (enter, stage) in enumerate(
            zip(self.downsample_layers, self.stages, strict=True)
        ):
            maps = stage(enter(maps))
            if index in self._out_indices:
                given.append(getattr(self, f"norm{index}")(maps))
        return tuple(given)


class _ChannelNorm(nn.LayerNorm):
    """Layer norm over the channels of maps."""

    def forward(self, maps: Tensor) -> Tensor:
        return super().forward(maps.permute(0, 2, 3, 1)).permute(0, 3, 1, 2).contiguous()


class _Block(nn.Module):
    def __init__(self, width: int, scale: float) -> None:
        super().__init__()
        self.depthwise_conv = nn.Conv2d(width, width, 7, padding=3, groups=width)
        self.norm = nn.LayerNorm(width, eps=1e-6)
        self.pointwise_conv1 = nn.Linear(width, 4 * width)
        self.pointwise_conv2 = nn.Linear(4 * width, width)
        self.gamma = nn.Parameter(scale * ones(width))

    def forward(self, maps: Tensor) -> Tensor:
        cells = self.norm(self.depthwise_conv(maps).permute(0, 2, 3, 1))
        cells = self.pointwise_conv2(functional.gelu(self.pointwise_conv1(cells)))
        scaled: Tensor = cells.permute(0, 3, 1, 2) * self.gamma.view(1, -1, 1, 1)
        return maps + scaled


def _make_entry(before: int, after: int) -> nn.Sequential:
    """The way into a stage: the first cuts the picture into patches, the others halve the map."""
    if before == 3:
        return nn.Sequential(nn.Conv2d(3, after, 4, stride=4), _ChannelNorm(after, eps=1e-6))
    return nn.Sequential(_ChannelNorm(before, eps=1e-6), nn.Conv2d(before, after, 2, stride=2))
