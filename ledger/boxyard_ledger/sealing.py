"""Secrets at rest: sealed by the operator's keys, each for one place alone."""

from __future__ import annotations

import base64
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from functools import cached_property

from cryptography.fernet import Fernet, InvalidToken, MultiFernet
from pydantic import SecretStr

from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import Timestamp, changed

from .records import Record

_HOW = (
    "Set it for the server, deliver and `boxyard keys` alike; a new key: "
    "`head -c 32 /dev/urandom | base64 | tr '+/' '-_'`."
)


class KeptSecret(Record):
    """A secret as it is stored."""

    text: str
    sealed: bool = True
    """False for those that older versions kept in the clear."""
    until: Timestamp | None = None
    """When a secret that was rotated is good no more."""


class Sealing:
    """Seals with the first key and opens with any; what is moved to another place does not open."""

    def __init__(self, keys: Sequence[SecretStr]) -> None:
        self._keys = keys

    def check(self) -> None:
        """Sees that there is a key.

        Raises:
            SetupError: there is none, or one of them is no key.
        """
        _ = self._fernets

    def seal(self, secret: str, place: str) -> KeptSecret:
        """A secret as it may be stored at a place, such as `tenant/endpoint`.

        Raises:
            SetupError: there is no key.
        """
        text = MultiFernet(self._fernets).encrypt(f"{place}\n{secret}".encode()).decode()
        return KeptSecret(text=text)

    def open(self, kept: KeptSecret, place: str) -> str:
        """The secret.

        Raises:
            SetupError: there is no key, none of them opens it, or it was sealed for another place.
        """
        if not kept.sealed:
            return kept.text
        try:
            text = MultiFernet(self._fernets).decrypt(kept.text).decode()
        except (InvalidToken, ValueError):
            raise SetupError(
                f"No key of BOXYARD_SECRET_KEYS opens the secret of {place}: "
                "put the one that sealed it behind the first."
            ) from None
        found, _, secret = text.partition("\n")
        if found != place:
            raise SetupError(f"The secret of {place} was sealed for {found}: somebody moved it.")
        return secret

    def renew(
        self, known: Iterable[KeptSecret], place: str, *, only_clear: bool = False
    ) -> tuple[KeptSecret, ...]:
        """The same secrets, sealed by the first key; or only those sealed that were not.

        Raises:
            SetupError: as `open` does.
        """
        return tuple(
            kept
            if kept.sealed and (only_clear or self._is_newest(kept))
            else changed(self.seal(self.open(kept, place), place), until=kept.until)
            for kept in known
        )

    def _is_newest(self, kept: KeptSecret) -> bool:
        try:
            self._fernets[0].decrypt(kept.text)
        except (InvalidToken, ValueError):
            return False
        return True

    @cached_property
    def _fernets(self) -> list[Fernet]:
        if not self._keys:
            raise SetupError(f"BOXYARD_SECRET_KEYS is not set; it seals webhook secrets. {_HOW}")
        try:
            return [Fernet(key.get_secret_value()) for key in self._keys]
        except ValueError:
            # Without its cause: that may quote the key.
            raise SetupError(f"BOXYARD_SECRET_KEYS holds what is no key. {_HOW}") from None


def rotate(known: Iterable[KeptSecret], fresh: KeptSecret, end: datetime) -> tuple[KeptSecret, ...]:
    """A fresh secret and the current one, which is good until `end`; older ones go at once."""
    current = [changed(kept, until=end) for kept in known if kept.until is None]
    return (fresh, *current)


def good(known: Iterable[KeptSecret], now: datetime) -> list[KeptSecret]:
    """Those that still sign, newest first."""
    return [kept for kept in known if kept.until is None or now < kept.until]


def new_secret() -> str:
    """A fresh Standard Webhooks secret of 192 random bits."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(24)).decode()
