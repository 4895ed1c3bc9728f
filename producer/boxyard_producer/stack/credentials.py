"""The keys and the webhook secret of a stack: made once, kept for its owner alone."""

from __future__ import annotations

import base64
import os
import secrets
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import changed

DEFAULT_DATA = Path(".boxyard")
_NAME = "credentials.json"


def _new_secret_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _new_api_key() -> str:
    return f"boxyard_{secrets.token_urlsafe(32)}"


class Credentials(BaseModel):
    """What a caller of a stack on this machine needs, and what seals its secrets."""

    model_config = ConfigDict(frozen=True)

    url: str
    api_key: str = Field(default_factory=_new_api_key)
    """Made anew where it was taken out of the file, because it was revoked."""
    webhook_secret: str
    secret_keys: str = Field(default_factory=_new_secret_key)
    """As BOXYARD_SECRET_KEYS has them; older versions had none."""

    @classmethod
    def find(cls, data: Path) -> Credentials | None:
        """Those of the stack in a data directory, if there is one.

        Raises:
            SetupError: the file is not readable as such.
        """
        path = data / _NAME
        try:
            return cls.model_validate_json(path.read_bytes())
        except FileNotFoundError:
            return None
        except ValidationError as error:
            raise SetupError(f"{path} is damaged: remove it, and new keys are made.") from error

    @classmethod
    def keep(cls, data: Path, url: str) -> Credentials:
        """The same keys as at the last start, or new ones; kept with the stack's address."""
        known = cls.find(data)
        kept = changed(known, url=url) if known else cls.create(url)
        write_private(data / _NAME, kept.model_dump_json(indent=1) + "\n")
        return kept

    @classmethod
    def create(cls, url: str) -> Credentials:
        """New, random keys."""
        return cls(
            url=url,
            webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
        )


def write_private(path: Path, text: str) -> None:
    """Write a file whole, or not at all, for its owner's eyes alone.

    Raises:
        SetupError: the disk is full, say.
    """
    fresh = path.with_name(f"{path.name}.new")
    try:
        fresh.unlink(missing_ok=True)
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with open(descriptor, "w") as file:
            file.write(text)
        fresh.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
