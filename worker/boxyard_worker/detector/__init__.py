"""The detector: pictures in, boxes and masks out, one model on one device.

What enters is a `ModelImage` (pixels, sizes, the request's limits), what leaves is
`RawDetections` (see `contract`). torch and mmdet are imported only by the modules behind
`load_detector`, so that the worker's parent process, which imports this package, stays small.

    catalogue      model names → configurations and packaged weights
    configuration  a model's configuration, made safe to build offline
    config_files   mmengine's configuration files of every form, and their bases
    data_sets      test pipeline and class names of a configuration, through its wrappers
    file_kinds     what a file is by its first bytes
    states         where a checkpoint keeps its parameters
    weights        safetensors files into a model, every key checked
    migration      the rules by which names may differ
    labels         what a model calls the things that it tells apart
    conversion     published .pth files → safetensors, once
    resize         the resize that the parent process runs
    transforms     what a test pipeline may hold: each transform, each option
    pipeline       the model's own test pipeline: what is left of it after the resize
    extras         packages that only some models need; `convnext` stands for one of them
    vocabulary     the folder that `language`, the BERT of open-vocabulary models, is made by
    prompts        what a request says → what such a model reads
    regions        RTMDet-Ins masks from the region that they can cover
    faults         what mmdet gets wrong, mended on the model that was built
    heads          the request's limits inside mmdet's heads, before masks are made
    mmdetection    `Detector` over all of these
"""

from __future__ import annotations

from pathlib import Path

from boxyard_schemas.installation import install_command
from boxyard_worker.detector.contract import Detector
from boxyard_worker.detector.errors import DetectorError, DetectorLoadError

__all__ = ["Detector", "DetectorError", "DetectorLoadError", "load_detector"]


def load_detector(
    model: str,
    *,
    device: str = "cpu",
    weights: Path | None = None,
    random_weights: bool = False,
    config: Path | None = None,
    classes: Path | None = None,
    language_model: Path | None = None,
) -> Detector:
    """Loads a model and warms it up with one gray picture.

    Args:
        model: a name of the catalogue in any spelling; with `config`, any name.
        device: such as `cpu` or `cuda:0`.
        weights: a safetensors file; left out, a packaged model's own weights.
        random_weights: seeded random weights instead, for trials of speed and plumbing.
        config: an mmengine configuration file to use in place of the name's own. It runs as
            code, so it is the operator's to choose, never a request's.
        classes: a text file of label names, one a line, in place of the weights' and the
            configuration's.
        language_model: folder of the vocabulary and the configuration of the BERT that a model
            reads prompts with; such a model needs it.

    Raises:
        DetectorLoadError: the model cannot serve; the error says what to do.
    """
    try:
        from boxyard_worker.detector.mmdetection import load  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise DetectorLoadError(
            f"The Python package {error.name!r} is not installed.",
            f"Install what detection needs: {install_command('detect')}",
        ) from error
    return load(
        model,
        device,
        weights=weights,
        random_weights=random_weights,
        config=config,
        classes=classes,
        language_model=language_model,
    )
