"""A model's files: mmdet's configurations in its wheel, and the packaged demo model.

Nothing here imports mmdet or torch.
"""

from __future__ import annotations

import importlib.resources
import importlib.util
from dataclasses import dataclass
from pathlib import Path

from boxyard_schemas import resolve_model
from boxyard_schemas.catalogue import catalogue
from boxyard_schemas.errors import UnknownModel
from boxyard_schemas.installation import install_command
from boxyard_worker.detector.errors import DetectorLoadError


@dataclass(frozen=True)
class ModelFiles:
    """Where the parts of a model lie.

    Attributes:
        name: the catalogue's, or the operator's own.
        config: its mmengine configuration file.
        weights: its packaged weights, or None where they are pulled or the operator's own.
        weights_url: where they are published, or "".
    """

    name: str
    config: Path
    weights: Path | None = None
    weights_url: str = ""


def find_model(name: str) -> ModelFiles:
    """Looks a model up by any spelling of its name.

    Raises:
        DetectorLoadError: nobody knows the name, or its configuration is not in mmdet's wheel.
    """
    try:
        entry = catalogue()[resolve_model(name)]
    except UnknownModel as error:
        raise DetectorLoadError(
            error.detail, "One of your own needs its configuration: --config FILE."
        ) from error
    if not entry.config:
        return _find_packaged(entry.name)
    config = _find_configs() / entry.config
    if not config.is_file():
        raise DetectorLoadError(
            f"The configuration {entry.config} of {entry.name} is not in mmdet's wheel.",
            f"Install the tested version of mmdet: {install_command('detect')}",
        )
    return ModelFiles(entry.name, config, None, entry.weights_url)


def choose_weights(model: ModelFiles, chosen: Path | None) -> Path:
    """The operator's weights, else the packaged ones.

    Raises:
        DetectorLoadError: there are none.
    """
    path = chosen or model.weights
    if path is None:
        pull = f"Pull those that are published: `boxyard models pull {model.name}`; or pass"
        raise DetectorLoadError(
            f"No weights of {model.name} are here.",
            f"{pull if model.weights_url else 'Pass'} your own by `--weights FILE.safetensors`,"
            " or try it untrained with `--weights random`.",
        )
    return path


def _find_packaged(name: str) -> ModelFiles:
    demo = Path(str(importlib.resources.files("boxyard_worker"))) / "demo"
    return ModelFiles(name, demo / f"{name}.py", demo / f"{name}.safetensors")


def _find_configs() -> Path:
    spec = importlib.util.find_spec("mmdet")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("No module named 'mmdet'", name="mmdet")
    return Path(spec.origin).parent / ".mim" / "configs"
