"""The Redis under a stack: the operator's, or one of its own.

It needs the extras of the ledger: `extras.check_installed` comes before its import.
"""

from __future__ import annotations

from collections.abc import Callable

from boxyard_ledger import Ledger, LedgerSettings
from boxyard_ledger.append_only import BACKUP, BEGIN_ANEW, FOLDER, DamagedIncrement, set_aside
from boxyard_ledger.cut import cut_at_damage
from boxyard_ledger.embedded import EmbeddedRedis
from boxyard_ledger.kept_files import KeptFiles
from boxyard_schemas.errors import SetupError

from .environment import kept_password
from .settings import StackSettings


def open_redis(
    settings: StackSettings,
    tell: Callable[[str], object],
    give_up: Callable[[], bool],
    *,
    expects_data: bool,
) -> EmbeddedRedis | None:
    """A server of the stack's own that runs, or none where the operator named one.

    Args:
        settings: the stack's.
        tell: takes a line for people while it loads.
        give_up: whether the stack stops meanwhile.
        expects_data: whether the stack had a ledger before.

    Raises:
        SetupError: there is no server to start, it did not come up, or its data are missing or
            damaged.
    """
    if settings.redis_url:
        return None
    data = settings.data.resolve() / "redis"
    password = kept_password(settings.data)
    if settings.new_ledger and (data / FOLDER).exists():
        former = set_aside(data / FOLDER, "former")
        tell(f"the ledger begins empty; the files of the one before are in {former}")
    redis = EmbeddedRedis(
        data,
        guarded=True,
        password=password,
        expects_data=expects_data,
        tell=tell,
        give_up=give_up,
    )
    try:
        redis.start()
    except DamagedIncrement as error:
        if not settings.cut_damaged_file:
            raise
        tell(cut_at_damage(data, error.name))
        redis.start()
    else:
        if settings.cut_damaged_file:
            tell("no file of redis is damaged: nothing was cut")
    return redis


def watch_files(redis: EmbeddedRedis, tell: Callable[[str], object]) -> KeptFiles:
    """What restores the files of a running Redis when they are removed or cut."""
    return KeptFiles(redis, tell)


def confirm_ledger(
    redis: EmbeddedRedis, known: str | None, tell: Callable[[str], object], *, expected: bool
) -> str:
    """See that the ledger of the last start is there; a new one gets its id.

    Args:
        redis: running.
        known: the id of the ledger of the last start.
        tell: takes a line for people where there is another ledger.
        expected: whether there has to be a ledger.

    Returns:
        The id of the ledger.

    Raises:
        SetupError: there is none, though one is expected.
    """
    folder = redis.configuration.parent
    with Ledger.open(LedgerSettings(redis_url=redis.url)) as ledger:
        found = ledger.read_identity()
        if found is None and expected:
            raise SetupError(
                f"{folder} holds no ledger, though this stack had one. {BACKUP} {BEGIN_ANEW}"
            )
        if found and known and found != known:
            tell(
                f"{folder} holds another ledger than at the last start: jobs, tenants and keys of "
                "that one are not in it"
            )
        return ledger.establish_identity()


def forget_webhook_secret(redis_url: str) -> None:
    """Make place for a new webhook secret of the default tenant: the key of the old one is lost.

    Raises:
        SetupError: Redis is away, or unfit.
    """
    with Ledger.open(LedgerSettings(redis_url=redis_url)) as ledger:
        ledger.tenants.forget_webhook_secret("default")
