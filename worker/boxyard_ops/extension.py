"""The module `mmcv._ext`: how the import system finds it and what it holds."""

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from enum import StrEnum
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import NoReturn

from boxyard_ops.errors import OperatorMissing

NAME = "mmcv._ext"
MODULES = (
    "attention",
    "border",
    "build",
    "carafe",
    "deformable",
    "deformable_roi",
    "focal",
    "masked",
    "nms",
    "roi",
    "soft_nms",
)


class Provider(StrEnum):
    """Who provides `mmcv._ext` in this process."""

    TORCHVISION = "torchvision"
    """This package."""
    COMPILED = "compiled"
    """An extension that was built with mmcv; this package stepped aside."""


def install() -> Provider:
    """Make `import mmcv.ops` work, and say who provides its operators.

    May be called at any time before `mmcv.ops` is first imported, and any number of times. Neither
    mmcv nor torch is imported by it.
    """
    if find_compiled():
        return Provider.COMPILED
    if not any(isinstance(finder, ExtensionFinder) for finder in sys.meta_path):
        sys.meta_path.append(ExtensionFinder())
    return Provider.TORCHVISION


def find_compiled() -> bool:
    """Say whether an `mmcv._ext` that is not ours is loaded or would be found by an import."""
    if NAME in sys.modules:
        return not isinstance(sys.modules[NAME].__loader__, ExtensionLoader)
    package = importlib.util.find_spec("mmcv")
    if package is None or package.submodule_search_locations is None:
        return False
    places = list(package.submodule_search_locations)
    others = [finder for finder in sys.meta_path if not isinstance(finder, ExtensionFinder)]
    return any(finder.find_spec(NAME, places) for finder in others)


class ExtensionFinder(MetaPathFinder):
    """Finds `mmcv._ext` and nothing else; last on `sys.meta_path`, so a real file wins."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """Return the spec of `mmcv._ext`, or nothing for any other name."""
        if fullname != NAME:
            return None
        return ModuleSpec(fullname, ExtensionLoader(), origin=__package__)


class ExtensionLoader(Loader):
    """Fills `mmcv._ext` with the operators; torch is imported here, not before."""

    def exec_module(self, module: ModuleType) -> None:
        """Put every operator into the module, and a stand-in for those that are missing."""
        for part in MODULES:
            operators = importlib.import_module(f"{__package__}.{part}")
            for name in operators.__all__:
                setattr(module, name, getattr(operators, name))
        module.__getattr__ = stand_in  # type: ignore[method-assign]  # PEP 562


def stand_in(name: str) -> Callable[..., NoReturn]:
    """Return what mmcv gets for an operator that is not written: a function that raises.

    mmcv looks all names up when it is imported, so the error has to wait for the call.
    """
    if name.startswith("__"):
        raise AttributeError(f"module {NAME!r} has no attribute {name!r}")

    def missing(*_arguments: object, **_options: object) -> NoReturn:
        raise OperatorMissing(name)

    missing.__name__ = name
    return missing
