"""What a configuration says of its test data: the transforms, and the class names.

mmdet wraps data sets into others, to repeat, balance or join them. A wrapper has neither transforms
nor class names of its own; they are those of what it wraps.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from mmdet.evaluation.functional import oid_challenge_classes, oid_v6_classes
from mmdet.registry import DATASETS
from mmengine.config import Config

from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.labels import check_names, read_labels

_LISTED_CLASSES: Final = {
    # Their data sets' types read the names from a file of the data set.
    "OpenImagesDataset": oid_v6_classes,
    "OpenImagesChallengeDataset": oid_challenge_classes,
}


_PATH: Final = re.compile(r"[^\n]{1,1000}(\.(txt|names|csv|json|ya?ml)|/[^\n]*)", re.IGNORECASE)
"""A text that is the path of a file rather than the name of a class."""


def type_name(kind: object) -> str:
    """The bare name of a type that is given as such, or by a name with or without its modules."""
    return kind.rpartition(".")[2] if isinstance(kind, str) else getattr(kind, "__name__", "")


def test_pipeline(config: Config) -> list[dict[str, Any]]:
    """The transforms of the model's test data, plain dicts, free to be changed.

    Raises:
        DetectorLoadError: there are none, or joined data sets have different ones.
    """
    pipelines = [steps for _, steps in _find_sets(config)]
    if any(steps != pipelines[0] for steps in pipelines):
        raise DetectorLoadError(
            "The configuration's test data sets have different pipelines, and an image has one.",
            "Leave one of them in test_dataloader.dataset.",
        )
    if not pipelines[0]:
        raise DetectorLoadError(
            "The configuration's test data set has no pipeline.",
            "Give test_dataloader.dataset the `pipeline` that the model is tested with.",
        )
    return list(_plain_steps(pipelines[0]))


def class_names(config: Config) -> tuple[str, ...]:
    """Label names as the configuration or its data set's type gives them, in label order.

    Raises:
        DetectorLoadError: they cannot be used, or joined data sets have different ones.
    """
    if type_name(config.model.get("type")) == "RPN":
        return ("object",)  # it finds where things are, not what; its data's names are not its own
    found = [_name_classes(each, config) for each, _ in _find_sets(config)]
    if any(names != found[0] for names in found):
        raise DetectorLoadError(
            "The configuration's test data sets name different classes.",
            "Give the model's own by `metainfo` in each, or in a text file by --classes.",
        )
    return found[0]


def _find_sets(config: Config) -> list[tuple[Any, list[Any]]]:
    """The data sets that are wrapped in no other, each with all its transforms."""
    loader = config.get("test_dataloader")
    data_set = loader.get("dataset") if isinstance(loader, dict) else None
    found = list(_unwrap(data_set, [])) if data_set else []
    if not found:
        raise DetectorLoadError(
            f"{_source(config)} cannot be read: it has no test data set.",
            "It must be an mmdet 3 configuration with `test_dataloader.dataset`, whose `pipeline`"
            " says how the model takes an image.",
        )
    return found


def _unwrap(data_set: Any, outer: list[Any]) -> Iterator[tuple[Any, list[Any]]]:
    if isinstance(data_set, list | tuple):
        for each in data_set:
            yield from _unwrap(each, outer)
        return
    if not isinstance(data_set, dict):
        raise DetectorLoadError(
            f"The configuration's test data set is {data_set!r:.100}.",
            "Describe it by a dictionary with a `type` and a `pipeline`.",
        )
    pipeline = data_set.get("pipeline") or ()
    if not isinstance(pipeline, list | tuple):
        raise DetectorLoadError(
            f"The configuration's test pipeline is {pipeline!r:.100}.",
            "Write it as a list of transforms, such as dict(type='LoadImageFromFile').",
        )
    steps = [*pipeline, *outer]
    inner = data_set.get("datasets") or data_set.get("dataset")
    if inner:
        yield from _unwrap(inner, steps)
    else:
        yield data_set, steps


def _plain_steps(steps: Any) -> Iterator[dict[str, Any]]:
    """The steps, each a dictionary of its own, with those of a `Compose` in its place."""
    for step in steps if isinstance(steps, list | tuple) else [steps]:
        kind = step.get("type") if isinstance(step, dict) else None
        if not kind or not isinstance(kind, str | type):
            raise DetectorLoadError(
                f"A step of the test pipeline has no `type`, by name or class: {step!r:.100}.",
                "Write each as dict(type='Resize', scale=(1333, 800), keep_ratio=True).",
            )
        if type_name(kind) == "Compose" and "transforms" in step:
            yield from _plain_steps(step["transforms"])
        else:
            yield dict(step)


class _Names(NamedTuple):
    """Class names as they are declared, unchecked.

    Attributes:
        value: what stands for them; None where nothing does.
        source: where it stands, for messages.
        published: they are mmdet's own, of which some repeat a name.
    """

    value: Any
    source: str
    published: bool = False


def check_declared(config: Config) -> None:
    """Refuses class names in the configuration that cannot be used, though others are chosen.

    Raises:
        DetectorLoadError: says which name is at fault.
    """
    for data_set, _ in _find_sets(config):
        names = _find_names(data_set, config)
        if isinstance(names.value, list | tuple):
            check_names(names.value, names.source, repeats=names.published)


def _name_classes(data_set: Any, config: Config) -> tuple[str, ...]:
    names = _find_names(data_set, config)
    return () if names.value is None else _check(names)


def _find_names(data_set: Any, config: Config) -> _Names:
    for notes in (data_set.get("metainfo"), data_set, config.get("metainfo")):
        if notes and not isinstance(notes, dict):
            raise DetectorLoadError(
                f"The configuration's `metainfo` is {notes!r:.100}.",
                "Write it as metainfo=dict(classes=('can', 'carton')).",
            )
        if (names := _classes(notes or {})) is not None:
            return _Names(names, _source(config))
    return _find_published(data_set.get("type"))


def _classes(notes: dict[Any, Any]) -> Any:
    found = (value for key, value in notes.items() if str(key).lower() == "classes")
    return next((names for names in found if names is not None), None)


def _find_published(kind: Any) -> _Names:
    """The names that the type of a data set brings: one of mmdet's, or of the operator's code."""
    kind = DATASETS.get(kind) if isinstance(kind, str) else kind
    source = f"The data set type {type_name(kind)}"
    if _is_mmdets(kind) and (listed := _LISTED_CLASSES.get(type_name(kind))):
        return _Names(listed(), source, published=True)
    # A type that inherits its names from one of mmdet's has published ones.
    owner = next((each for each in getattr(kind, "__mro__", ()) if "METAINFO" in vars(each)), None)
    notes = owner.METAINFO if owner else {}
    names = _classes(notes) if isinstance(notes, dict) else notes  # what is none is refused later
    return _Names(names, source, published=_is_mmdets(owner))


def _is_mmdets(kind: Any) -> bool:
    return str(getattr(kind, "__module__", "")).partition(".")[0] == "mmdet"


def _check(names: _Names) -> tuple[str, ...]:
    value = names.value
    if isinstance(value, str):
        # As mmengine has it, a text names a file of names; where there is none, it is one name.
        file = Path(value)
        if file.is_file():
            return read_labels(file)
        if _PATH.fullmatch(value):
            raise DetectorLoadError(
                f"{names.source} has the class names in the file {value}, which is not in"
                f" {Path.cwd()}.",
                "Give its whole path, or pass it by --classes FILE.",
            )
        value = (value,)
    return check_names(value, names.source, repeats=names.published)


def _source(config: Config) -> str:
    return f"The configuration {Path(config.filename or '').name}"
