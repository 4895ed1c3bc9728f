"""docs/operations.md tells operators what the code says."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest
from pydantic import ValidationError
from pydantic_settings import BaseSettings

from boxyard_worker.deliver import DeliverSettings

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "operations.md").read_text()

tables = runpy.run_path(str(ROOT / "deploy" / "settings.py"))
GROUPS: dict[type[BaseSettings], str] = tables["GROUPS"]
ROWS = [line for line in tables["write_tables"]().splitlines() if line.startswith("| `")]


def test_the_tables_of_settings_are_what_the_code_says_today() -> None:
    assert tables["put_in"](PAGE) == PAGE, "run `make settings`"


def test_the_names_of_all_variables_are_what_the_code_says_today() -> None:
    assert tables["write_names"]() == tables["NAMES"].read_text(), "run `make settings`"


def test_every_variable_that_anything_reads_is_known() -> None:
    sources = [ROOT / "docker-compose.yml", ROOT / ".env.example", ROOT / "Makefile"]
    for folder in ("deploy", "examples", "ledger", "producer", "schemas/boxyard_schemas", "worker"):
        for kind in ("py", "sh", "lua", "Dockerfile", "template"):
            sources += (ROOT / folder).rglob(f"*.{kind}")
    known = set(tables["NAMES"].read_text().split())
    # A setting of Django's, and the example in a docstring.
    others = {"BOXYARD_WEBHOOK_SECRETS"}
    for path in sources:
        named = set(re.findall(r"BOXYARD_[A-Z0-9_]*[A-Z0-9]\b", path.read_text()))
        assert named - others <= known, path


def test_every_settings_class_of_the_packages_has_its_table() -> None:
    sources = (
        path.read_text()
        for room in ("ledger", "producer", "worker")
        for path in (ROOT / room).rglob("*.py")
    )
    named = {name for text in sources for name in re.findall(r"^class (\w+Settings)\(", text, re.M)}
    assert named == {kind.__name__ for kind in GROUPS}


def test_every_setting_has_a_default_a_unit_and_a_meaning() -> None:
    for row in ROWS:
        _, _, default, unit, meaning, _ = (cell.strip() for cell in row.split("|"))
        assert default, row
        assert unit, row
        assert meaning.endswith("."), row


def test_an_empty_value_sets_nothing_and_an_empty_list_is_empty(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    unset = {kind: kind() for kind in GROUPS}
    for kind in GROUPS:
        # The schedule is JSON, where nothing at all is no list.
        for name in kind.model_fields.keys() - {"delivery_schedule_s"}:
            monkeypatch.setenv(f"BOXYARD_{name.upper()}", "")
    for kind, before in unset.items():
        for name, field in kind.model_fields.items():
            is_list = tables["unit_of"](name, field) == "list"
            value, default = getattr(kind(), name), getattr(before, name)
            assert value == (type(default)() if is_list else default), name


@pytest.mark.parametrize("text", ["", "5, 300", "[5, -1]"])
def test_a_schedule_that_is_none_is_a_fault_of_that_setting(
    monkeypatch: pytest.MonkeyPatch, text: str
) -> None:
    monkeypatch.setenv("BOXYARD_DELIVERY_SCHEDULE_S", text)
    with pytest.raises(ValidationError, match="delivery_schedule_s"):
        DeliverSettings()


def test_a_figure_that_is_no_count_says_its_unit() -> None:
    fields = {
        (name, field): tables["unit_of"](name, field)
        for kind in GROUPS
        for name, field in tables["own_fields"](kind).items()
        if field.annotation is float
    }
    assert set(fields.values()) == {"seconds", "milliseconds", "share"}
