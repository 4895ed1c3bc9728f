"""A model's published weights: fetched, checked, converted, kept."""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import urlsplit

from boxyard_schemas import resolve_model
from boxyard_schemas.catalogue import CatalogueEntry, catalogue
from boxyard_schemas.errors import SetupError, UnknownModel
from boxyard_worker.detector.conversion import convert_checkpoint
from boxyard_worker.detector.digest import hash_file
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.weights.cache import Cache, Record
from boxyard_worker.weights.download import download
from boxyard_worker.weights.lock import hold
from boxyard_worker.weights.settings import WeightsSettings
from boxyard_worker.weights.sources import list_addresses
from boxyard_worker.weights.transfer import Progress


def find_entry(name: str) -> CatalogueEntry:
    """The catalogue's entry behind any spelling of a name.

    Raises:
        SetupError: there is none; it suggests names.
    """
    try:
        return catalogue()[resolve_model(name)]
    except UnknownModel as error:
        raise SetupError(error.detail) from error


def pull(
    entry: CatalogueEntry, settings: WeightsSettings, mirrors: Sequence[str], progress: Progress
) -> Record:
    """Has a model's published weights in the cache; fetches them when they are not there.

    Args:
        entry: the model.
        settings: where to, from where, within which limits.
        mirrors: base URLs that are asked before those of the settings.
        progress: is told of the download.

    Raises:
        SetupError: none are published, no address gives them, or they are no weights.
    """
    if not entry.weights_url:
        raise SetupError(_without_weights(entry))
    _check_extra()
    cache = _open_cache(settings.weights_dir)
    file = cache.downloads / Path(urlsplit(entry.weights_url).path).name
    with hold(file.with_name(f"{file.name}.lock")):
        record = cache.find(entry.name)
        if record and cache.intact(record):
            return record
        addresses = list_addresses(
            entry.weights_url,
            [*mirrors, *settings.weights_mirrors],
            published=not settings.weights_mirrors_only,
        )
        source = download(addresses, file, entry.weights_digest, settings, progress)
        try:
            return _keep(cache, entry, file, source)
        finally:
            file.unlink()


def import_file(entry: CatalogueEntry, settings: WeightsSettings, file: Path) -> Record:
    """Has a model's weights in the cache, from a file that came some other way.

    Args:
        entry: the model.
        settings: where to.
        file: a checkpoint. Digits of a sha256 in its name must be its own.

    Raises:
        SetupError: the file is missing, damaged, or holds no weights.
    """
    _check_extra()
    cache = _open_cache(settings.weights_dir)
    return _keep(cache, entry, file, str(file.resolve()))


def _open_cache(folder: Path) -> Cache:
    cache = Cache(folder)
    try:
        cache.downloads.mkdir(parents=True, exist_ok=True)
        with hold(cache.downloads / "trial"):
            return cache
    except OSError as error:
        raise SetupError(
            f"{folder} cannot be written to: {error.strerror}. Name another folder by"
            " BOXYARD_WEIGHTS_DIR."
        ) from error


def _keep(cache: Cache, entry: CatalogueEntry, file: Path, source: str) -> Record:
    try:
        digest = hash_file(file)
    except OSError as error:
        raise SetupError(f"{file} cannot be read: {error.strerror}.") from error
    draft = cache.downloads / f"{entry.name}.safetensors"
    with hold(cache.downloads / f"{entry.name}.lock"):
        try:
            convert_checkpoint(file, draft)
        except DetectorLoadError as error:
            raise SetupError(str(error)) from error
        return cache.add(entry.name, draft, source=source, source_sha256=digest)


def _check_extra() -> None:
    # Before gigabytes are fetched that cannot be converted then.
    for package in ("torch", "safetensors"):
        if importlib.util.find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def _without_weights(entry: CatalogueEntry) -> str:
    if not entry.config:
        return f"{entry.name} comes with its weights: there is nothing to pull."
    return (
        f"Nobody publishes weights for {entry.name}. Serve your own by boxyard-worker detect"
        " --weights FILE, or import a file with --from FILE."
    )
