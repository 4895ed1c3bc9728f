"""What a stack needs beyond the client's own dependencies."""

from __future__ import annotations

from importlib.util import find_spec

from boxyard_schemas.errors import SetupError
from boxyard_schemas.installation import install_command

_MODULES = (
    "redis",
    "celery",
    "boto3",
    "cryptography",
    "fastapi",
    "uvicorn",
    "cv2",
    "standardwebhooks",
)


def check_installed() -> None:
    """See that what a stack runs is installed.

    Raises:
        SetupError: with the command that installs it.
    """
    missing = [name for name in _MODULES if find_spec(name) is None]
    if missing:
        raise SetupError(
            f"`boxyard up` needs more than the client (no {', '.join(missing)}): "
            f"{install_command('all')}"
        )
