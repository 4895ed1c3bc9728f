"""Where a checkpoint keeps its parameters."""

from __future__ import annotations

from typing import Any

from torch import Tensor

STATES = ("state_dict", "ema_state_dict", "model_state_dict", "model", "model_ema", "ema")
"""Where trainings keep parameters: the first that a checkpoint has counts. mmengine changes the
moving average over with the parameters when it saves, so that `state_dict` holds the average.
"""


def find_state(checkpoint: object) -> dict[str, Tensor] | None:
    """The parameters by their names, wherever the checkpoint has them.

    Under another name than the usual ones, where nothing else can be meant.
    """
    if not isinstance(checkpoint, dict):
        return None
    for name in STATES:
        if isinstance(inner := checkpoint.get(name), dict) and inner:
            return find_state(inner)
    states = [each for each in (checkpoint, *checkpoint.values()) if _is_state(each)]
    return states[0] if len(states) == 1 else None


def _is_state(found: object) -> bool:
    return isinstance(found, dict) and bool(found) and not strange_names(found)


def strange_names(state: dict[Any, Any]) -> list[object]:
    """Of what should be parameters, the names of those that are none."""
    return [
        name
        for name, value in state.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
