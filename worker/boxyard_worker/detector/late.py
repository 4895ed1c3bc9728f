"""Full-size masks that are made when they are looked at, a few at a time.

Three hundred masks of a picture of 12 million pixels are 14 GB as mmdet makes them. Its heads end
alike: small masks are resized, once or twice, and compared with a threshold. `SmallMasks` note
these last steps instead of doing them, mmdet's own code still saying which; `LateMasks` do them
for the instances that the request keeps. Each step treats every mask by itself, so pieces give
what the whole gives.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Final

import torch
from torch import Tensor
from torch.nn import functional

from boxyard_worker.detector.contract import CroppedMask

PIECE_BYTES: Final = 64 << 20
"""Bound on the full-size masks that exist at a time."""

Step = Callable[[Any], Any]


class LateMasks:
    """The masks of one picture's instances; mmdet's `InstanceData` can hold and cut it.

    Args:
        places: `(n,)` int64, these of the instances that `make` knows.
        make: from m places to their full-size masks `(m, height, width)`.
    """

    def __init__(self, places: Tensor, make: Callable[[Tensor], Tensor]) -> None:
        self._places = places
        self._make = make

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, kept: slice) -> LateMasks:
        return LateMasks(self._places[kept], self._make)

    @staticmethod
    def cat(parts: list[LateMasks]) -> LateMasks:
        """Those of several parts of one picture's, in their order."""
        return LateMasks(torch.cat([part._places for part in parts]), parts[0]._make)

    def crop(self, pixels: int) -> Iterator[CroppedMask]:
        """Makes the masks.

        Args:
            pixels: of one, in the picture or in the model's input, whichever has more.
        """
        for piece in torch.split(self._places, piece_size(4 * pixels)):
            if len(piece):  # of no mask at all there is one piece, which mmdet's steps cannot take
                yield from crop_masks(self._make(piece))


def piece_size(mask_bytes: int) -> int:
    """How many full-size masks of so many bytes each may exist at a time."""
    return max(1, PIECE_BYTES // mask_bytes)


def crop_masks(masks: Tensor) -> list[CroppedMask]:
    """Packs full-size masks `(n, height, width)`, one at a time."""
    return [CroppedMask.pack(mask.bool().cpu().numpy()) for mask in masks]


class SmallMasks(torch.Tensor):
    """Masks `(…, n, height, width)`: a tensor like any other until they are resized."""

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Notes a resize, and does everything else."""
        if function is functional.interpolate:
            return _Resized(args[0].as_subclass(Tensor)).note(function, args, kwargs)
        result = super().__torch_function__(function, types, args, kwargs)  # type: ignore[no-untyped-call]
        if isinstance(result, cls) and not (result.is_floating_point() and result.ndim >= 3):
            return result.as_subclass(Tensor)  # scores and the like are masks no more
        return result


class _Resized:
    """Masks `(1, n, height, width)`, and what is to be done with them."""

    def __init__(self, masks: Tensor, *steps: Step) -> None:
        self._masks = masks
        self._steps = steps

    @classmethod
    def __torch_function__(
        cls, function: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> _Resized:
        resized: _Resized = args[0]
        return resized.note(function, args, kwargs)

    def note(self, function: Any, args: Any, kwargs: Any) -> _Resized:
        return self._then(lambda masks: function(masks, *args[1:], **(kwargs or {})))

    def _then(self, step: Step) -> _Resized:
        return _Resized(self._masks, *self._steps, step)

    def __getitem__(self, part: Any) -> _Resized:
        return self._then(lambda masks: masks[part])

    def squeeze(self, dim: int) -> _Resized:
        return self._then(lambda masks: masks.squeeze(dim))

    def __gt__(self, threshold: float) -> LateMasks:
        places = torch.arange(self._masks.shape[1])
        return LateMasks(places, self._then(lambda masks: masks > threshold)._take)

    def _take(self, places: Tensor) -> Tensor:
        masks = self._masks[:, places.to(self._masks.device)]
        for step in self._steps:
            masks = step(masks)
        return masks
