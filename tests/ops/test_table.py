"""docs/operators.md says of each operator what is measured, and leaves none out."""

import re
from importlib import import_module
from pathlib import Path

import pytest
import torch

from boxyard_ops.extension import MODULES
from ops.comparisons import compare
from ops.table import BEGIN, END, OPERATORS, Operator, insert

PAGE = Path(__file__).parents[2] / "docs" / "operators.md"
MEASURED = [operator for operator in OPERATORS if operator.case]


def test_the_table_lists_exactly_what_the_extension_provides():
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    listed = [row.split("|")[2] for row in table.splitlines()[2:]]
    functions = [set(re.findall(r"`(\w+)`", cell)) for cell in listed]
    modules = [import_module(f"boxyard_ops.{name}") for name in MODULES]
    assert set.union(*functions) == {name for module in modules for name in module.__all__}
    assert functions == [set(operator.functions) for operator in OPERATORS]


@pytest.mark.parametrize("operator", MEASURED, ids=lambda operator: operator.title)
def test_an_operator_is_as_near_to_its_slow_form_as_single_precision_allows(
    operator: Operator, device: str
):
    torch.manual_seed(0)
    assert operator.case is not None
    difference = compare(operator.case(), device)
    assert difference.forward < 1e-5
    assert difference.backward is None or difference.backward < 1e-5


def test_a_table_is_put_between_its_markers_and_nowhere_else():
    assert insert(f"a\n{BEGIN}old\n{END}b\n", "new\n") == f"a\n{BEGIN}new\n{END}b\n"
    with pytest.raises(ValueError, match="no lines"):
        insert(f"a\n{BEGIN}old\n", "new\n")
