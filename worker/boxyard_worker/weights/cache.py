"""Weights by hash, and for each model the record of where its weights came from.

models/NAME.json              the record
files/SHA256.safetensors      the weights; several models may share them
downloads/                    what is on its way
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boxyard_schemas.errors import SetupError
from boxyard_worker.detector.digest import hash_file


class Record(BaseModel):
    """What is known of a model's cached weights."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str = Field(description="The catalogue's.")
    sha256: str = Field(pattern=r"^[0-9a-f]{64}$", description="Of the safetensors file.")
    size: int = Field(description="Of the safetensors file, in bytes.")
    source: str = Field(description="The address or the file that it came from.")
    source_sha256: str = Field(description="Of the published file.")
    at: datetime


class Cache:
    """Weights on this machine. What is in it was complete when it came: files appear at once.

    Args:
        folder: made when something is added.
    """

    def __init__(self, folder: Path) -> None:
        self._models = folder / "models"
        self._files = folder / "files"
        self.downloads = folder / "downloads"

    def records(self) -> list[Record]:
        """All models' records, by name.

        Raises:
            SetupError: one of them is damaged, or another user's alone.
        """
        with _readable():
            return [_read(path) for path in sorted(self._models.glob("*.json"))]

    def find(self, name: str) -> Record | None:
        """A model's record.

        Args:
            name: a `ModelName`.

        Raises:
            SetupError: it is damaged, or another user's alone.
        """
        path = self._models / f"{name}.json"
        with _readable():
            return _read(path) if path.is_file() else None

    def path(self, record: Record) -> Path:
        """Where a record's weights lie."""
        return self._files / f"{record.sha256}.safetensors"

    def intact(self, record: Record) -> bool:
        """Whether the weights are still those that were recorded."""
        path = self.path(record)
        return path.is_file() and hash_file(path) == record.sha256

    def add(self, name: str, draft: Path, *, source: str, source_sha256: str) -> Record:
        """Takes a safetensors file, which lies on the cache's own disk, as a model's weights."""
        record = Record(
            name=name,
            sha256=hash_file(draft),
            size=draft.stat().st_size,
            source=source,
            source_sha256=source_sha256,
            at=datetime.now(UTC),
        )
        self._files.mkdir(parents=True, exist_ok=True)
        draft.replace(self.path(record))
        former = self.find(name)
        self._write(record)
        if former:
            self._drop_file(former)
        return record

    def remove(self, model_or_sha256: str) -> list[Record]:
        """Removes a model's record, or those of all models with these weights.

        Args:
            model_or_sha256: a name, or at least eight digits that a sha256 begins with.

        Returns:
            What was removed.
        """
        sha256 = model_or_sha256 if len(model_or_sha256) >= 8 else "none"
        gone = [
            record
            for record in self.records()
            if record.name == model_or_sha256 or record.sha256.startswith(sha256)
        ]
        for record in gone:
            (self._models / f"{record.name}.json").unlink(missing_ok=True)
            self._drop_file(record)
        return gone

    def _write(self, record: Record) -> None:
        self._models.mkdir(parents=True, exist_ok=True)
        draft = self._models / f".{record.name}.{secrets.token_hex(4)}"
        draft.write_text(record.model_dump_json(indent=2) + "\n")
        os.replace(draft, self._models / f"{record.name}.json")

    def _drop_file(self, record: Record) -> None:
        if all(other.sha256 != record.sha256 for other in self.records()):
            self.path(record).unlink(missing_ok=True)


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise SetupError(
            f"{error.filename} cannot be read: {error.strerror}. Let this user read what was"
            " pulled, or name another folder by BOXYARD_WEIGHTS_DIR."
        ) from error


def _read(path: Path) -> Record:
    try:
        return Record.model_validate_json(path.read_bytes())
    except ValidationError as error:
        raise SetupError(
            f"{path} is damaged. Remove it and pull the weights again:"
            f" boxyard models pull {path.stem}"
        ) from error
