"""Where a checkpoint keeps its parameters, and what wrappers of a model change in their names."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, Final

from torch import Tensor

STATES: Final = ("state_dict", "ema_state_dict", "model_state_dict", "model", "model_ema", "ema")
"""Where trainings keep parameters: the first that a checkpoint has counts. mmengine changes the
moving average over with the parameters when it saves, so that `state_dict` holds the average.
"""
_DEPTH: Final = 3
"""Of dictionaries in dictionaries that are searched for parameters."""
_WRAPPERS: Final = ("module.", "model.", "_orig_mod.", "_forward_module.")
"""What torch's wrappers for several devices, moving averages, compilation and trainers put before
every name.
"""
_COUNTERS: Final = ("steps", "n_averaged")
"""Beside the parameters of mmengine's and torch's moving averages: how often they were updated."""


def find_state(checkpoint: object) -> dict[str, Tensor] | None:
    """The parameters by their names, wherever the checkpoint has them.

    Under another name than the usual ones, where nothing else can be meant.
    """
    if isinstance(checkpoint, dict) and _is_state(checkpoint):
        return checkpoint
    states = find_states(checkpoint)
    return next(iter(states.values())) if len(states) == 1 else None


def find_states(checkpoint: object) -> dict[str, dict[str, Tensor]]:
    """All that may be the parameters, by their places such as `checkpoint.state_dict`."""
    for depth in range(1, _DEPTH + 1):
        if states := dict(_find_states(checkpoint, depth)):
            return states
    return {}


def _find_states(found: object, depth: int) -> Iterator[tuple[str, dict[str, Tensor]]]:
    if not isinstance(found, dict) or not depth:
        return
    usual = [name for name in STATES if isinstance(found.get(name), dict) and found[name]]
    for name, inner in ((name, found[name]) for name in usual[:1] or found):
        if not isinstance(name, str):  # of an optimizer's parameters
            continue
        if depth == 1 and _is_state(inner):
            yield name, inner
        for place, state in _find_states(inner, depth - 1):
            yield f"{name}.{place}", state


def unwrap(
    state: Mapping[str, Tensor], wanted: Collection[str] = frozenset()
) -> tuple[dict[str, Tensor], str]:
    """Removes the prefix that wrappers gave to all names, and their counters.

    Args:
        state: parameters by their names.
        wanted: names that stay as they are, because the model has them.

    Returns:
        The parameters by their bare names, and the prefix.
    """
    prefix = ""
    while True:
        kept = {name: state[name] for name in state if not _is_counter(name, state[name], wanted)}
        stays = not kept or any(name in wanted for name in kept)
        common = (w for w in _WRAPPERS if all(name.startswith(w) for name in kept))
        wrapper = "" if stays else next(common, "")
        if not wrapper:
            return kept or dict(state), prefix
        state = {name.removeprefix(wrapper): tensor for name, tensor in kept.items()}
        prefix += wrapper


def _is_counter(name: str, tensor: Tensor, wanted: Collection[str]) -> bool:
    return name in _COUNTERS and name not in wanted and tensor.numel() == 1


def find_prefixes(names: Collection[str], wanted: Collection[str]) -> list[str]:
    """Prefixes, each with a dot at its end, under which the names hold all that are wanted."""
    one = min(wanted, key=len, default="")
    candidates = {name.removesuffix(one) for name in names if name.endswith(f".{one}")}
    held = set(names)
    return sorted(p for p in candidates if all(f"{p}{name}" in held for name in wanted))


def _is_state(found: object) -> bool:
    return isinstance(found, dict) and bool(found) and not strange_names(found)


def strange_names(state: dict[Any, Any]) -> list[object]:
    """Of what should be parameters, the names of those that are none."""
    return [
        name
        for name, value in state.items()
        if not (isinstance(name, str) and isinstance(value, Tensor))
    ]
