"""How `mmcv._ext` comes into a process; each story has a fresh interpreter of its own."""

import os
import subprocess
import sys
from pathlib import Path

import pytest


def run(program: str, *paths: Path) -> str:
    """Run a program in a fresh interpreter with `paths` first on its import path."""
    search = os.pathsep.join(map(str, paths))
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program],
        env={**os.environ, "PYTHONPATH": search},
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def write_package(folder: Path, *, extension: str | None) -> Path:
    """Write a package `mmcv`, with a compiled half or without."""
    package = folder / "mmcv"
    package.mkdir()
    (package / "__init__.py").touch()
    if extension is not None:
        (package / "_ext.py").write_text(extension)
    return folder


def test_importing_the_package_loads_neither_torch_nor_mmcv():
    loaded = run(
        "import sys, boxyard_ops\nprint({'torch', 'torchvision', 'mmcv'} & set(sys.modules))"
    )
    assert loaded == "set()"


def test_importing_the_package_alone_changes_nothing():
    program = "import sys; a = list(sys.meta_path); import boxyard_ops; print(a == sys.meta_path)"
    assert run(program) == "True"


def test_mmcv_ops_imports_after_install():
    program = """
import boxyard_ops
print(boxyard_ops.install())
import sys, mmcv.ops, mmcv._ext
from mmcv.ops import CARAFE, DeformConv2d, MultiScaleDeformableAttention, RoIAlign, batched_nms
spec = mmcv._ext.__spec__
print(spec.name, spec.origin, type(spec.loader).__name__)
print(mmcv._ext is sys.modules["mmcv.ops.nms"].ext_module)
"""
    assert run(program).splitlines() == [
        "torchvision",
        "mmcv._ext boxyard_ops ExtensionLoader",
        "True",
    ]


def test_install_works_after_mmcv_was_imported_and_failed_to_find_its_operators():
    program = """
import mmcv
try:
    import mmcv.ops
except ModuleNotFoundError as error:
    print(error.name)
import boxyard_ops
boxyard_ops.install()
import mmcv.ops
print(mmcv.ops.RoIAlign.__name__)
"""
    assert run(program).splitlines() == ["mmcv._ext", "RoIAlign"]


def test_installing_twice_changes_nothing():
    program = """
import sys, boxyard_ops
first = boxyard_ops.install(); finders = list(sys.meta_path)
import mmcv._ext as before
second = boxyard_ops.install()
import mmcv._ext as after
print(first is second, finders == sys.meta_path, before is after)
"""
    assert run(program) == "True True True"


def test_mmengine_finds_the_operators_and_reports_their_build():
    program = """
import boxyard_ops; boxyard_ops.install()
from mmengine.utils.dl_utils.misc import mmcv_full_available
from mmcv.utils import collect_env
print(mmcv_full_available(), collect_env()["MMCV Compiler"])
"""
    found, version = run(program).split(maxsplit=1)
    assert found == "True"
    assert version.startswith("none (torchvision ")


def test_a_compiled_extension_is_used_and_told(tmp_path):
    home = write_package(tmp_path, extension="nms = 'compiled'")
    program = """
import sys, boxyard_ops
finders = list(sys.meta_path)
print(boxyard_ops.install(), finders == sys.meta_path)
import mmcv._ext
print(mmcv._ext.nms, boxyard_ops.install(), "torch" in sys.modules)
"""
    assert run(program, home).splitlines() == ["compiled True", "compiled compiled False"]


def test_a_compiled_extension_that_comes_after_install_still_wins(tmp_path):
    home = write_package(tmp_path, extension=None)
    program = f"""
import boxyard_ops
print(boxyard_ops.install())
open({str(tmp_path / "mmcv" / "_ext.py")!r}, "w").write("nms = 'compiled'")
import mmcv._ext
print(mmcv._ext.nms)
"""
    assert run(program, home).splitlines() == ["torchvision", "compiled"]


@pytest.mark.parametrize("name", ["correlation_forward", "psamask_forward"])
def test_a_missing_operator_says_its_name_and_what_to_do(name):
    from mmcv import _ext

    from boxyard_ops import OperatorMissing

    with pytest.raises(OperatorMissing, match=name) as caught:
        getattr(_ext, name)(1, two=2)
    assert caught.value.operator == name
    assert "Install an mmcv with compiled operators" in str(caught.value)


def test_a_missing_operator_is_met_when_it_is_called_through_mmcv():
    import torch
    from mmcv.ops import PSAMask

    from boxyard_ops import OperatorMissing

    with pytest.raises(OperatorMissing, match="psamask"):
        PSAMask("collect", (3, 3))(torch.rand(1, 9, 4, 4))


def test_the_module_pretends_no_special_attributes():
    from mmcv import _ext

    with pytest.raises(AttributeError, match="__wrapped__"):
        _ext.__wrapped__  # noqa: B018
