"""Reads published `.pth` checkpoints by a restricted unpickler, and writes safetensors.

Imported by the converting process alone; `conversion` starts that.
"""

from __future__ import annotations

import json
import re
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.file_kinds import FETCH_AGAIN
from boxyard_worker.detector.labels import describe_foreign
from boxyard_worker.detector.pickled import STAND_INS
from boxyard_worker.detector.states import STATES, find_state, find_states, strange_names, unwrap

_ODD: tuple[tuple[Callable[[Tensor], bool], str], ...] = (
    (lambda tensor: tensor.is_quantized, "quantised"),
    (lambda tensor: tensor.layout is not torch.strided, "sparse"),
    (lambda tensor: tensor.is_meta, "without its numbers (of torch's device `meta`)"),
)


def write_weights(source: Path, digest: str, target: Path) -> None:
    """Writes a checkpoint's parameters, class names and module versions as safetensors.

    Raises:
        DetectorLoadError: the file is damaged, not a checkpoint, or holds what could run code.
    """
    checkpoint = read_checkpoint(source)
    state = find_state(checkpoint)
    if state is None:
        raise _no_parameters(source, checkpoint)
    bare, prefix = unwrap(state)
    metadata = {
        "classes": json.dumps(_classes(checkpoint.get("meta"))),
        "versions": json.dumps(_versions(state, prefix)),
        "source_sha256": digest,
    }
    chosen = {name: bare[name] for name in _choose(bare)}
    _refuse_odd(chosen, source)
    save_file({name: _own(tensor) for name, tensor in chosen.items()}, target, metadata)
    _settle_header(target)


def _settle_header(path: Path) -> None:
    """Puts the header in one order, so that the same checkpoint gives the same sha256 anywhere."""
    with path.open("r+b") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
        text = json.dumps(header, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        settled = text.encode().ljust(size)
        if len(settled) != size:  # what follows would be overwritten
            raise ValueError(f"the header of {path.name} cannot be put in order")
        file.seek(8)
        file.write(settled)


def _choose(state: dict[str, Tensor]) -> list[str]:
    """The model's own parameters, without what trainings kept beside them.

    The preprocessor's mean and deviation are the configuration's business. mmdet 2 kept a moving
    average beside each parameter and changed the two over when it wrote a file, so that the
    parameters hold the average, and what is called `ema_…` is the worse.
    """
    averaged = {f"ema_{name.replace('.', '_')}" for name in state}
    return [
        name for name in state if name not in averaged and not name.startswith("data_preprocessor.")
    ]


def _refuse_odd(state: dict[str, Tensor], source: Path) -> None:
    for name, tensor in state.items():
        for is_so, what in _ODD:
            if is_so(tensor):
                raise DetectorLoadError(
                    f"The parameter {name} of {source.name} is {what}, and models are served with"
                    " plain numbers.",
                    "Use the checkpoint that the training wrote, before it was made smaller.",
                )


def _own(tensor: Tensor) -> Tensor:
    """A tensor without others' memory, gradients or an order of its own."""
    return tensor.detach().clone(memory_format=torch.contiguous_format)


def _versions(state: dict[str, Tensor], prefix: str) -> dict[str, dict[str, int]]:
    """Of torch's notes about modules, the versions; by them old names are migrated."""
    noted = getattr(state, "_metadata", None)
    return {
        f"{module}.".removeprefix(prefix)[:-1]: {"version": note["version"]}
        for module, note in (noted.items() if isinstance(noted, dict) else ())
        if isinstance(note, dict) and isinstance(note.get("version"), int)
    }


def read_checkpoint(source: Path) -> dict[str, Any]:
    """Reads a checkpoint; of what is pickled, only tensors and plain values are made.

    Raises:
        DetectorLoadError: it holds something else, is damaged, or is no checkpoint.
    """
    _check_archive(source)
    try:
        with torch.serialization.safe_globals([*STAND_INS]):
            checkpoint = torch.load(source, map_location="cpu", weights_only=True)
    except Exception as error:
        raise _unreadable(source, error) from error
    if not isinstance(checkpoint, dict):
        raise _no_parameters(source, checkpoint)
    return checkpoint


def _check_archive(source: Path) -> None:
    """Refuses zip archives that torch would only say something obscure of."""
    with source.open("rb") as file:
        if file.read(2) != b"PK":
            return
    try:
        with zipfile.ZipFile(source) as archive:
            names = archive.namelist()
    except (zipfile.BadZipFile, OSError, ValueError) as error:
        raise DetectorLoadError(
            f"{source.name} is cut short or damaged: the list at its end is missing.", FETCH_AGAIN
        ) from error
    if any(name.endswith("constants.pkl") for name in names):
        raise DetectorLoadError(
            f"{source.name} is a TorchScript program, not a checkpoint.",
            "Use the checkpoint that the training wrote, such as epoch_12.pth.",
        )
    if not any(name.endswith("data.pkl") for name in names):
        held = ", ".join(names[:3]) or "nothing"
        raise DetectorLoadError(
            f"{source.name} is a zip archive of other files ({held[:200]}), not a checkpoint.",
            "If the checkpoint is among them, unpack it and name that.",
        )


def _no_parameters(source: Path, found: object) -> DetectorLoadError:
    if states := find_states(found):
        place = "".join(f"[{part!r}]" for part in list(states)[-1].split("."))
        return DetectorLoadError(
            f"{source.name} holds parameters in {len(states)} places, and does not say which are"
            f" the model's: {', '.join(states)[:200]}.",
            "Save those to be served alone, as in"
            f" torch.save({{'state_dict': checkpoint{place}}}, FILE).",
        )
    held = f"a {type(found).__name__}"
    if isinstance(found, dict):
        held = f"a dictionary of {', '.join(map(str, found))[:200]}" if found else "nothing"
        for name in STATES:
            if isinstance(inner := found.get(name), dict) and (strange := strange_names(inner)):
                held = f"`{name}` with {strange[0]!r:.100}, which is no tensor by its name"
                break
    return DetectorLoadError(
        f"{source.name} holds no parameters, but {held}.",
        "Use the checkpoint that the training wrote, or that mmdet publishes: its `state_dict` maps"
        " names to tensors.",
    )


def _unreadable(source: Path, error: Exception) -> DetectorLoadError:
    # torch wraps what was wrong in advice to read the file without safety.
    told = str(error.__context__ or error).rpartition("WeightsUnpickler error:")[2].strip()
    if found := re.search(r"GLOBAL (\S+)", told):
        return DetectorLoadError(
            f"{source.name} is not a checkpoint that can be read safely: it holds {found[1]}, and"
            " nothing that is pickled is run here.",
            "Save it again where you trust it, with the parameters and the class names alone:"
            " torch.save({'state_dict': …, 'meta': {'dataset_meta': {'classes': …}}}, FILE).",
        )
    if isinstance(error, EOFError) or re.search(
        "truncated|unexpected|ended|Ran out of|requires a buffer|out of range", told
    ):
        return DetectorLoadError(f"{source.name} is cut short.", FETCH_AGAIN)
    if "PytorchStreamReader" in told:
        return DetectorLoadError(f"{source.name} is damaged.", FETCH_AGAIN)
    if told.startswith(("Unsupported operand", "Invalid magic number", "pop from empty list")):
        return DetectorLoadError(
            f"{source.name} is not a checkpoint: PyTorch wrote no such file.", FETCH_AGAIN
        )
    reason = told.partition("\n")[0].partition(". ")[0].rstrip(".") or type(error).__name__
    return DetectorLoadError(
        f"{source.name} is not a checkpoint that can be read safely: {reason[:300]}.",
        "Use the checkpoint that the training wrote, or that mmdet publishes.",
    )


def _classes(meta: object) -> object:
    """The class names as the checkpoint has them, in what JSON can hold.

    A name that is no text becomes an object that `check_names` refuses when the names are used.
    """
    notes = meta.get("dataset_meta") or meta if isinstance(meta, dict) else None
    if not isinstance(notes, dict):
        return []
    classes = next((v for k, v in notes.items() if str(k).lower() == "classes"), None)
    if classes is None:
        return []
    if isinstance(classes, str):
        return [classes]
    if isinstance(classes, dict) and list(classes) == list(range(len(classes))):
        classes = list(classes.values())
    if isinstance(classes, list | tuple):
        return [
            name if name is None or isinstance(name, str | int | float) else describe_foreign(name)
            for name in classes
        ]
    return describe_foreign(classes)
