"""The page about images names every code that an image can fail with."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROOMS = ("worker/boxyard_worker", "ledger/boxyard_ledger", "schemas/boxyard_schemas")
ELSEWHERE = ("deliver", "weights")
"""Packages whose errors are not about images."""
OF_DELIVERIES = {"post-failed"}
ERRORS = {
    "DecoderDied",
    "ImageFailure",
    "Permanent",
    "PromptError",
    "Retryable",
    "_refusal",
    "_translated",
}
CODE = re.compile(r"crashed|[a-z]+(-[a-z]+)+")


def codes_in(source: str) -> Iterator[str]:
    """What errors are called in a module, or fields named `code` by default."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(func=ast.Name(id=name)) if name in ERRORS:
                arguments = [*node.args, *(each.value for each in node.keywords)]
                yield from (word for each in arguments for word in words_in(each))
            case ast.AnnAssign(target=ast.Name(id="code"), value=ast.Constant(value=str(word))):
                yield word


def words_in(node: ast.expr) -> Iterator[str]:
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and CODE.fullmatch(str(part.value)):
            yield str(part.value)


def test_every_code_of_a_failed_image_is_in_the_page_and_no_other() -> None:
    modules = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    raised = {
        code
        for path in modules
        if not {*path.parts} & {*ELSEWHERE}
        for code in codes_in(path.read_text())
    }
    section = (ROOT / "docs/images.md").read_text().partition("## When an image fails")[2]
    named = set(re.findall(r"^\| `([a-z-]+)`", section, re.MULTILINE))
    assert named == raised - OF_DELIVERIES
