"""docs/security.md names tests that exist, for every threat."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]
PAGE = (TESTS.parent / "docs" / "security.md").read_text()
NAMED = re.findall(r"`([\w/]+\.py)::(test_\w+)`", PAGE)
THREATS = [
    line for line in PAGE.splitlines() if line.startswith("| ") and not line.startswith("| threat ")
]


@pytest.mark.parametrize(("file", "name"), NAMED, ids=lambda each: each)
def test_a_test_that_the_threat_model_names_is_there(file: str, name: str) -> None:
    assert re.search(rf"^(async )?def {name}\(", (TESTS / file).read_text(), re.MULTILINE)


@pytest.mark.parametrize("threat", THREATS, ids=lambda line: line.split("|")[1].strip()[:40])
def test_a_threat_has_a_defence_and_a_test(threat: str) -> None:
    _, _, defence, proof, _ = threat.split("|")
    assert defence.strip()
    assert "::test_" in proof
