"""Nothing in mmdet's index needs an operator of mmcv that is not written, by rule.

The rule: a function or class of `mmcv.ops` needs an operator when it names it, or names another
that does. mmdet needs what it imports from mmcv; its code and its configs choose further parts by
their registered names, which are strings.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

from boxyard_ops.extension import MODULES

EXPLAINED = {
    "MMSyncBN": "batch norm over several processes; the worker builds the plain one of it",
    "bbox_overlaps": "mmdet's own function has this name",
}


IMPORT = re.compile(r"^ *from mmcv[\w.]* import (\([^)]*\)|[^(\n]*)", re.MULTILINE)
QUOTED = re.compile(r"""['"](\w+)['"]""")


def find(package: str) -> Path:
    spec = find_spec(package)
    assert spec is not None
    assert spec.origin is not None
    return Path(spec.origin).parent


@cache
def parse() -> list[ast.Module]:
    """Parse the modules of `mmcv.ops`."""
    return [ast.parse(file.read_text()) for file in sorted((find("mmcv") / "ops").glob("*.py"))]


def provided() -> set[str]:
    modules = [import_module(f"boxyard_ops.{name}") for name in MODULES]
    return {operator for module in modules for operator in module.__all__}


def asked() -> set[str]:
    """The operators that mmcv looks up in `mmcv._ext`."""
    calls = [
        node
        for tree in parse()
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "load_ext"
    ]
    return {text for call in calls for text in strings(call.args[1])}


def strings(tree: ast.AST) -> Iterator[str]:
    constants = (node.value for node in ast.walk(tree) if isinstance(node, ast.Constant))
    return (value for value in constants if isinstance(value, str))


def names(tree: ast.AST) -> set[str]:
    return {
        getattr(node, "id", None) or getattr(node, "attr", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Name | ast.Attribute)
    }


def definitions() -> Iterator[tuple[str, ast.stmt]]:
    """Yield the functions, classes and values of `mmcv.ops`, by all names that they go by."""
    for tree in parse():
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                yield node.name, node
                for decorator in node.decorator_list:
                    yield from ((name, node) for name in strings(decorator))
            elif isinstance(node, ast.Assign):
                yield from ((target.id, node) for target in node.targets if hasattr(target, "id"))


def needing(operators: set[str]) -> set[str]:
    """What of `mmcv.ops` needs any of the operators."""
    uses = [(name, names(node)) for name, node in definitions()]
    found: set[str] = set()
    while more := {name for name, used in uses if used & (operators | found)} - found:
        found |= more
    return found


def named_by_mmdet() -> set[str]:
    """What mmdet imports from mmcv, and the quoted words of its code and configs."""
    texts = [file.read_text() for file in find("mmdet").rglob("*.py")]
    imports = [found for text in texts for found in IMPORT.findall(text)]
    return {word for text in imports for word in re.findall(r"\w+", text)} | {
        word for text in texts for word in QUOTED.findall(text)
    }


def test_the_rule_finds_what_needs_an_operator():
    assert {"CARAFE", "CARAFEPack", "carafe"} <= needing({"carafe_forward"})
    assert {"DCN", "SAC", "DeformConv2d"} <= needing({"deform_conv_forward"})
    assert {"batched_nms", "nms_match"} & needing({"nms_match"}) == {"nms_match"}
    assert {"carafe", "DCN", "SAC", "CornerPool", "DeformRoIPoolPack"} <= named_by_mmdet()


def test_no_model_of_the_index_needs_an_operator_that_is_not_written():
    assert needing(asked() - provided()) & named_by_mmdet() == set(EXPLAINED)


def test_the_page_lists_what_is_not_written():
    page = (Path(__file__).parents[2] / "docs" / "operators.md").read_text()
    section = page.partition("## What is not written")[2].partition("\n## ")[0]
    items = [line for line in section.splitlines() if line.startswith("- ")]
    assert sorted(re.findall(r"`(\w+)`", "".join(items))) == sorted(asked() - provided())


def test_everything_that_is_written_is_asked_for_by_mmcv():
    assert provided() <= asked()
