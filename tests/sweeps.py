"""Sweeps: tests of many inputs, of which `make test` takes a slice and `make sweeps` all."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, TypeVar

T = TypeVar("T")


class Sample(NamedTuple):
    """How much of its inputs a sweep takes.

    Attributes:
        whole: it takes all of them.
    """

    whole: bool

    def of(self, inputs: Sequence[T], count: int) -> Sequence[T]:
        """So many of the inputs, spread evenly."""
        if self.whole:
            return inputs
        return [inputs[place * len(inputs) // count] for place in range(count)]
