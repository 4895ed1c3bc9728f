"""The keys and the webhook secret of a stack: made once, kept for its owner alone."""

from __future__ import annotations

import base64
import contextlib
import os
import re
import secrets
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import changed

DEFAULT_DATA = Path(".boxyard")
_NAME, _ENVIRONMENT = "credentials.json", "env"
_ASSIGNMENT = re.compile(r"(\w+)=(.*)", re.DOTALL)
_FERNET_KEY = r"[A-Za-z0-9_-]{43}="
_VARIABLES = {
    "url": "BOXYARD_URL",
    "api_key": "BOXYARD_API_KEY",
    "webhook_secret": "BOXYARD_WEBHOOK_SECRET",
    "secret_keys": "BOXYARD_SECRET_KEYS",
}
"""How the stack's `env` calls the members of its credentials."""


def _new_secret_key() -> str:
    return base64.urlsafe_b64encode(secrets.token_bytes(32)).decode()


def _new_api_key() -> str:
    return f"boxyard_{secrets.token_urlsafe(32)}"


class Credentials(BaseModel):
    """What a caller of a stack on this machine needs, and what seals its secrets."""

    model_config = ConfigDict(frozen=True)

    url: Annotated[str, Field(pattern=r"^https?://\S+$")]
    api_key: str = Field(default_factory=_new_api_key, min_length=1)
    """Made anew where it was taken out of the file, because it was revoked."""
    webhook_secret: Annotated[str, Field(pattern=r"^whsec_[A-Za-z0-9+/]+=*$")]
    secret_keys: Annotated[str, Field(pattern=rf"^{_FERNET_KEY}(\s*,\s*{_FERNET_KEY})*$")]
    """As BOXYARD_SECRET_KEYS has them. Without them no stored webhook secret can be opened."""
    ledger: str | None = None
    """The id of the ledger in the embedded Redis, from its first start on: one without it lost its
    data."""

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
            raise SetupError(
                f"{path} is damaged. Do not remove it: `boxyard up` restores it from the copy "
                f"of its keys in {data / _ENVIRONMENT}."
            ) from error
        except OSError as error:
            raise SetupError(f"{path} cannot be read: {error.strerror}.") from error

    @classmethod
    def keep(cls, data: Path, url: str) -> Credentials:
        """The same keys as at the last start, or those of a first one; kept with the address.

        A file that is damaged or gone is restored from the copy in `env`; what was there stays
        beside it, as `credentials.json.damaged`. An API key that is in neither is made anew.

        Raises:
            SetupError: there is no copy, though something may have been sealed with the keys.
        """
        path = data / _NAME
        try:
            known, problem = cls.find(data), f"{path} is missing"
        except SetupError:
            known, problem = None, f"{path} is damaged"
        if known is None:
            known = cls._copied(data, url)
            if known is None and any(
                each.exists() for each in (path, data / "redis", data / "blobs")
            ):
                raise SetupError(_lost(problem, data))
            if path.exists():
                path.replace(path.with_name(f"{_NAME}.damaged"))
        kept = changed(known, url=url) if known else cls.create(url)
        kept.write(data)
        return kept

    @classmethod
    def create(cls, url: str) -> Credentials:
        """New, random keys."""
        return cls(
            url=url,
            webhook_secret=f"whsec_{base64.b64encode(secrets.token_bytes(32)).decode()}",
            secret_keys=_new_secret_key(),
        )

    def write(self, data: Path) -> None:
        """Keep them in a data directory.

        Raises:
            SetupError: the disk is full, say.
        """
        write_private(data / _NAME, self.model_dump_json(indent=1) + "\n")

    def write_environment(self, data: Path, others: Mapping[str, str]) -> None:
        """Write `env` into a data directory: these, and the variables of `others`, for a shell.

        Raises:
            SetupError: the disk is full, say.
        """
        own = {variable: getattr(self, member) for member, variable in _VARIABLES.items()}
        exports = (f"export {key}={shlex.quote(text)}\n" for key, text in {**own, **others}.items())
        write_private(data / _ENVIRONMENT, "".join(exports))

    @classmethod
    def _copied(cls, data: Path, url: str) -> Credentials | None:
        """Those of the last start, from the lines of `env` that can be read."""
        found = read_environment(data)
        members = {member: found[name] for member, name in _VARIABLES.items() if name in found}
        try:
            return cls.model_validate({**members, "url": url})
        except ValidationError:
            return None


def read_environment(data: Path) -> dict[str, str]:
    """The variables in the lines of a data directory's `env` that can be read."""
    found = dict[str, str]()
    with contextlib.suppress(OSError):
        for line in (data / _ENVIRONMENT).read_bytes().splitlines():
            with contextlib.suppress(ValueError):
                assignments = map(_ASSIGNMENT.match, shlex.split(line.decode()))
                found |= {each[1]: each[2] for each in assignments if each}
    return found


def _lost(problem: str, data: Path) -> str:
    return (
        f"{problem}, and {data / _ENVIRONMENT} has no copy of its keys. Put the file of a backup "
        "back. Without one, start once with `boxyard up --new-credentials`: jobs and results "
        "stay, callers need the new API key, and secrets of webhook endpoints and of other "
        "tenants, which the lost key sealed, have to be rotated with no overlap."
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
            file.flush()
            os.fsync(file.fileno())  # or a power cut leaves the new name with nothing behind it
        fresh.replace(path)
    except OSError as error:
        raise SetupError(f"{path} cannot be written: {error.strerror}.") from error
