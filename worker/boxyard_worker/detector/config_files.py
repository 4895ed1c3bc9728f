"""mmengine's configuration files, each form of them, read without `pkg_resources`.

mmengine looks for packages by `pkg_resources`, which setuptools no longer has. And mmdet's wheel
keeps its configurations below `mmdet/.mim`, in the form with `_base_`, with hyphens in their names;
those of the pure Python form name them as modules, `mmdet.configs.…`, which the wheel has not.
Both look-ups are replaced here, in the two functions of mmengine that make them. So is its test for
a module of Python's own, which a configuration may call: mmengine compares paths, and in a virtual
environment takes `os` for a library.
"""

from __future__ import annotations

import ast
import importlib.util
import re
import sys
import traceback
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import mmengine.config.config
import mmengine.config.utils
from mmengine.config import Config, ConfigDict
from mmengine.config.lazy import LazyObject
from mmengine.config.utils import ImportTransformer, _gather_abs_import_lazyobj

from boxyard_worker.detector.errors import DetectorLoadError


def read_file(path: Path) -> Config:
    """Reads a configuration of any form; it runs as code, and nothing that it names is imported.

    Raises:
        DetectorLoadError: a base that it names by its package is not there.
        Exception: whatever the file's own code or mmengine raises.
    """
    return Config.fromfile(str(path), import_custom_modules=False)


def find_lazy_use(error: Exception) -> str | None:
    """Where a configuration called or computed with what mmengine has not imported; else None.

    mmengine represents that by a `LazyObject` or `LazyAttr`, and raises an empty RuntimeError
    where one is called.
    """
    if not ((isinstance(error, RuntimeError) and not str(error)) or "Lazy" in str(error)):
        return None
    lines = [each for each in traceback.extract_tb(error.__traceback__) if each.name == "<module>"]
    return f"line {lines[-1].lineno} of {Path(lines[-1].filename).name}" if lines else None


def _find_base(named: str, config: str) -> tuple[str, str | None]:
    """Stands for mmengine's `_get_cfg_path`: a base's path, and its package as its scope."""
    if not isinstance(named, str) or not named:
        raise DetectorLoadError(
            f"The configuration {Path(config).name} has the base {named!r:.100}.",
            "Write `_base_` as a path, 'mmdet::…', or a list of these.",
        )
    package, _, inside = named.rpartition("::")
    if not package:
        path = Path(config).parent / named
        if not path.is_file():
            raise _absent(str(path), [])
        return str(path), None
    root = _find_package(package, named) / ".mim" / "configs"
    if not (root / inside).is_file():
        known = [str(path.relative_to(root)) for path in root.rglob("*.py")]
        raise _absent(named, get_close_matches(inside, known, 3))
    return str(root / inside), package


def _parse(filename: str) -> tuple[ConfigDict, set[str]]:
    """Stands for mmengine's `_parse_lazy_import`, with the bases found by `_read_base`.

    Returns:
        The configuration's variables, and the names of those that it imports.
    """
    tree = ast.parse(Path(filename).read_text(encoding="utf-8"), filename)
    variables: dict[str, Any] = {"LazyObject": LazyObject, "__file__": filename}
    imported: set[str] = set()
    bases = {}
    for module in Config._get_base_modules(tree.body):
        bases[module], names = _read_base(module, Path(filename))
        imported |= names
    transformer = ImportTransformer(variables, bases, filename)
    tree, gathered = _gather_abs_import_lazyobj(transformer.visit(tree), filename)
    code = compile(ast.fix_missing_locations(tree), filename, "exec")
    exec(code, variables)  # a configuration is the operator's own code
    kept = {
        name: value
        for name, value in variables.items()
        if not name.startswith("__") and name != "LazyObject"
    }
    names = imported | transformer.imported_obj | gathered
    return Config._dict_to_config_dict_lazy(kept), names


def _read_base(module: str, config: Path) -> tuple[ConfigDict, set[str]]:
    level = len(module) - len(module.lstrip("."))
    package, *inside = module[level:].split(".")
    if level:
        path = config.parents[level - 1].joinpath(package, *inside)
    else:
        path = _find_package(package, module).joinpath(*inside)
    path = path.with_name(f"{path.name}.py")
    if not path.is_file() and not level and inside[:1] == ["configs"]:
        return _read_packaged(module, _find_package(package, module) / ".mim" / "configs")
    if not path.is_file():
        raise _absent(module, [str(path)] if level else [])
    found: tuple[ConfigDict, set[str]] = Config._parse_lazy_import(str(path))
    return found


def _read_packaged(module: str, root: Path) -> tuple[ConfigDict, set[str]]:
    """A base of a wheel, which is there under the same name but for the hyphens."""
    *folders, name = module.split(".")[2:]
    folder = root.joinpath(*folders)
    known = {re.sub(r"\W", "_", path.stem): path for path in folder.glob("*.py")}
    if name not in known:
        raise _absent(module, get_close_matches(name, known, 3))
    variables, _, _ = Config._file2dict(str(known[name]), lazy_import=False)
    return Config._dict_to_config_dict_lazy(variables), set()


def _find_package(name: str, base: str) -> Path:
    spec = importlib.util.find_spec(name)
    places = list(spec.submodule_search_locations or ()) if spec else []
    if not places:
        raise DetectorLoadError(
            f"The base {base} is in the Python package {name!r}, which is not here.",
            f"Put the folder that {name} lies in on PYTHONPATH, or the base beside the"
            " configuration, and with a dot before its name where it is imported.",
        )
    return Path(places[0])


def _absent(base: str, near: list[str]) -> DetectorLoadError:
    return DetectorLoadError(
        f"The base {base} of the configuration is not there.",
        f"Near it: {', '.join(near)}." if near else "Check how it is spelled.",
    )


def _is_builtin(name: str) -> bool:
    """Stands for mmengine's `_is_builtin_module`: whether a file's import is done as written."""
    own = f"{name}.".startswith("mmengine.config.")
    return own or name.partition(".")[0] in sys.stdlib_module_names


mmengine.config.config._is_builtin_module = _is_builtin
mmengine.config.utils._is_builtin_module = _is_builtin
Config._get_cfg_path = staticmethod(_find_base)
Config._parse_lazy_import = staticmethod(_parse)
