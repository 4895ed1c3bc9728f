"""The faults' numbers and names, as marks on the tests that do them."""

from __future__ import annotations

import pytest


def fault(number: int, name: str) -> pytest.MarkDecorator:
    """Marks a test as one of the faults; the first line of its docstring says what is done."""
    return pytest.mark.fault(number, name)
