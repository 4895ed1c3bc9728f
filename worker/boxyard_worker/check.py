"""What a machine needs to detect: for `boxyard-worker check` and `boxyard doctor`."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from importlib.resources import files
from typing import Any, NamedTuple

from boxyard_schemas.installation import install_command

INSTALL = install_command("detect")


class Finding(NamedTuple):
    """One thing that was looked at; `mend` says what to do when it is not `ok`."""

    name: str
    ok: bool
    detail: str
    mend: str = ""


def check_machine() -> list[Finding]:
    """Looks at every part that detection stands on."""
    return [
        _try("torch", _torch, INSTALL),
        _try("torchvision", lambda: str(_module("torchvision").__version__), INSTALL),
        _cuda(),
        _try("operators", _operators, f"{INSTALL}; torch and torchvision must fit each other"),
        _try("mmdet", lambda: str(_module("mmdet").__version__), INSTALL),
        _try("demo weights", _demo_weights, "Install Boxyard from a complete package or clone."),
    ]


def _try(name: str, look: Callable[[], str], mend: str) -> Finding:
    try:
        return Finding(name, True, look())
    except Exception as error:  # a broken library raises anything, and that is the finding
        return Finding(name, False, f"{type(error).__name__}: {error}", mend)


def _module(name: str) -> Any:
    return importlib.import_module(name)


def _torch() -> str:
    return str(_module("torch").__version__)


def _cuda() -> Finding:
    try:
        cuda = _module("torch").cuda
        names = [cuda.get_device_name(index) for index in range(cuda.device_count())]
    except Exception as error:  # without a GPU the CPU still detects: no failure
        return Finding("CUDA", True, f"not usable, the CPU will be used ({error})")
    return Finding("CUDA", True, ", ".join(names) or "no device, the CPU will be used")


def _operators() -> str:
    _module("boxyard_ops").install()
    _module("mmcv.ops")
    return "mmcv.ops over torchvision"


def _demo_weights() -> str:
    path = files("boxyard_worker").joinpath("demo", "rtmdet-ins_demo.safetensors")
    if not path.is_file():
        raise FileNotFoundError(str(path))
    return str(path)
