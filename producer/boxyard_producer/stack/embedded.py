"""The Redis under a stack: the operator's, or one of its own."""

from __future__ import annotations

from importlib.util import find_spec
from typing import TYPE_CHECKING

from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

from .environment import kept_password

if TYPE_CHECKING:
    from collections.abc import Callable

    from boxyard_ledger.embedded import EmbeddedRedis

    from .settings import StackSettings

_PARTS = (
    "redis",
    "celery",
    "boto3",
    "cryptography",
    "fastapi",
    "uvicorn",
    "cv2",
    "standardwebhooks",
)


def check_parts() -> None:
    """See that what a stack runs is installed.

    Raises:
        SetupError: with the command that installs it.
    """
    missing = [name for name in _PARTS if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"`boxyard up` needs more than the client (no {', '.join(missing)}): "
            f"{install_command('all')}"
        )


def open_redis(
    settings: StackSettings, tell: Callable[[str], object], give_up: Callable[[], bool]
) -> EmbeddedRedis | None:
    """A server of the stack's own that runs, or none where the operator named one.

    Args:
        settings: the stack's.
        tell: takes a line for people while it loads.
        give_up: whether the stack stops meanwhile.

    Raises:
        SetupError: there is no server to start, or it did not come up.
    """
    if settings.redis_url:
        return None
    from boxyard_ledger.append_only import cut_at_damage  # noqa: PLC0415 - needs the extras
    from boxyard_ledger.embedded import EmbeddedRedis  # noqa: PLC0415

    data = settings.data.resolve() / "redis"
    if settings.cut_damaged_file:
        tell(cut_at_damage(data))
    password = kept_password(settings.data)
    redis = EmbeddedRedis(data, guarded=True, password=password, tell=tell, give_up=give_up)
    redis.start()
    return redis


def forget_webhook_secret(redis_url: str) -> None:
    """Make place for a new webhook secret of the default tenant: the key of the old one is lost.

    Raises:
        SetupError: Redis is away, or unfit.
    """
    from boxyard_ledger import Ledger, LedgerSettings  # noqa: PLC0415 - needs the extras

    with Ledger.open(LedgerSettings(redis_url=redis_url)) as ledger:
        ledger.tenants.forget_webhook_secret("default")
