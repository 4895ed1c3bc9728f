"""Redis' ways to refuse or to be away, in Boxyard's words."""

from __future__ import annotations

import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager

import redis

from boxyard_schemas.errors import BoxyardError, SetupError, Unavailable, Unreadable

RETRY_AFTER_S = 5

_AWAY = (redis.ConnectionError, redis.TimeoutError)
_LATER = {
    "BUSY",  # a script of somebody's runs too long
    "CLUSTERDOWN",
    "LOADING",  # it reads its file after a start
    "MASTERDOWN",
    "MISCONF",  # it cannot write its file: the disk is full
    "NOREPLICAS",
    "OOM",
    "READONLY",  # it became a replica
    "TRYAGAIN",
}
_CODE = re.compile(r"(?:Command # .* of pipeline caused error: )?([A-Z]+) ", re.DOTALL)
_ODD_VALUE = re.compile(
    r"WRONGTYPE|not an integer|not a valid float|min or max is not|attempt to \w+|bad argument"
)
"""A value in Redis is of another kind than a command or a script needs."""
_TOO_OLD = "Error compiling script"
"""Before 7.0 a script's first line, which names its flags, was no Lua."""
_FORBIDDEN_IN_SCRIPT = (
    "ACL failure in script",
    "The user executing the script can't",  # Redis 7.0
)


@contextmanager
def translated() -> Iterator[None]:
    """Around whatever talks to Redis.

    Raises:
        Unavailable: the server is away, slow, full, busy, read-only or loading.
        SetupError: it wants another password or certificate, forbids this user too much, or is
            too old.
        Unreadable: a value that is stored there is of another kind than it should be.
    """
    try:
        yield
    except redis.RedisError as error:
        if known := _translate(error):
            raise known from error
        raise


def _translate(error: redis.RedisError) -> BoxyardError | None:  # noqa: PLR0911 - one for each kind
    if isinstance(error, redis.AuthenticationError):
        return SetupError(f"Redis refuses the name or password of BOXYARD_REDIS_URL: {error}")
    if is_forbidden(error):
        return SetupError(
            f"Redis forbids the user of BOXYARD_REDIS_URL too much: {error}. "
            "What each role needs stands in deploy/users.acl.template."
        )
    if _TOO_OLD in str(error):
        return SetupError(
            "Redis is older than 7.0 and cannot run Boxyard's scripts. Put Redis 7.0 or newer, or "
            "Valkey, in its place: both read the files that it leaves."
        )
    if isinstance(error.__cause__ or error.__context__, ssl.SSLCertVerificationError):
        return SetupError(f"Redis' certificate is not trusted; see BOXYARD_REDIS_CA_FILE: {error}")
    if _ODD_VALUE.search(str(error)):
        return Unreadable(
            "A stored record is damaged; the operator can look at it.", cause="unreadable"
        )
    if isinstance(error, _AWAY) or _code(error) in _LATER:
        return Unavailable(f"Redis cannot take work now: {error}", retry_after_s=RETRY_AFTER_S)
    return None


def is_loading(error: BoxyardError) -> bool:
    """Whether Redis answers, but still reads its file after a start."""
    return isinstance(error.__cause__, redis.exceptions.BusyLoadingError)


def is_wrong_type(error: object) -> bool:
    """Whether a key is of another type than its command needs."""
    return isinstance(error, redis.ResponseError) and "WRONGTYPE" in str(error)


def is_forbidden(error: redis.RedisError) -> bool:
    """Whether the user lacks the right to do this."""
    by_code = isinstance(error, redis.exceptions.NoPermissionError)
    return by_code or any(words in str(error) for words in _FORBIDDEN_IN_SCRIPT)


def _code(error: redis.RedisError) -> str | None:
    """The word that Redis' answer began with; redis-py takes off those that it knows."""
    if known := getattr(error, "status_code", None):
        return str(known)
    found = _CODE.match(str(error))
    return found[1] if found else None
