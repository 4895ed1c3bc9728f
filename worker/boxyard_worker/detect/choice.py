"""Which model a worker serves: the catalogue's with pulled weights, or the operator's own."""

from __future__ import annotations

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from boxyard_schemas import resolve_model
from boxyard_schemas.catalogue import catalogue
from boxyard_schemas.errors import SetupError, UnknownModel
from boxyard_schemas.jobs import ModelName
from boxyard_schemas.words import changed
from boxyard_worker.detector.catalogue import choose_weights, find_model
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.settings import DetectSettings
from boxyard_worker.weights.cache import Cache

_NAME: TypeAdapter[str] = TypeAdapter(ModelName)


def choose_model(settings: DetectSettings) -> DetectSettings:
    """Puts the model's own name in place of the operator's spelling, and its weights beside it.

    A model with a configuration of its own has a name of its own: under a name of the catalogue
    it would answer for another one, whose accuracy it does not have.

    Raises:
        SetupError: nobody knows the model, its name is taken, or it has no weights here.
    """
    name = _resolve(settings.model)
    if settings.config:
        _check_own(settings, name)
    elif settings.classes:
        raise SetupError(
            "--classes names what a model of your own finds: give its --config and a --model too."
        )
    chosen = {} if settings.weights or settings.config else _find_weights(settings, name)
    found = changed(settings, model=name, **chosen)
    if not found.config and found.detector == "mmdetection":
        _check_catalogued(found)
    return found


def _resolve(name: str) -> str:
    try:
        return resolve_model(name)
    except UnknownModel:
        return name  # the operator's own, or none


def _check_own(settings: DetectSettings, name: str) -> None:
    if name in catalogue():
        raise SetupError(
            f"{name} is a model of the catalogue. Give the one of {settings.config} a name of its"
            " own: --model NAME."
        )
    try:
        _NAME.validate_python(name)
    except ValidationError as error:
        raise SetupError(
            f"A model cannot be called {name!r}: letters, digits and . _ + - make a name, at most"
            " 200 of them, a letter or digit first."
        ) from error
    if not settings.weights:
        raise SetupError(f"Say which weights {name} has: --weights FILE.safetensors.")


def _check_catalogued(settings: DetectSettings) -> None:
    """What the detector would find out too, but only after it has loaded torch."""
    try:
        weights = Path(settings.weights) if settings.weights else None
        choose_weights(find_model(settings.model), weights)
    except DetectorLoadError as error:
        raise SetupError(str(error)) from error


def _find_weights(settings: DetectSettings, name: str) -> dict[str, str]:
    """Settings for what was pulled; none where nothing was."""
    cache = Cache(settings.weights_dir)
    record = cache.find(name) if name in catalogue() else None
    if record is None:
        return {}
    if not cache.path(record).is_file():
        raise SetupError(
            f"The weights of {name} are gone from {cache.path(record)}. Pull them again:"
            f" boxyard models pull {name}"
        )
    wanted = settings.weights_sha256 or record.sha256
    return {"weights": str(cache.path(record)), "weights_sha256": wanted}
