"""Writes what is known of settings from the settings classes themselves.

That is the tables in docs/operations.md, and the names by which every process knows a mistyped
variable. `make settings` runs it; a test fails when either differs from what the code says.
"""

from __future__ import annotations

import re
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Union, get_args, get_origin

import typer
from pydantic import SecretStr
from pydantic.fields import FieldInfo
from pydantic_core import PydanticUndefined
from pydantic_settings import BaseSettings

from boxyard_ledger import LedgerSettings
from boxyard_producer.cli.application import app
from boxyard_producer.server import ServerSettings
from boxyard_worker.deliver import DeliverSettings
from boxyard_worker.egress import EgressSettings
from boxyard_worker.settings import DetectSettings
from boxyard_worker.sweep import SweepSettings
from boxyard_worker.weights.settings import CacheSettings, WeightsSettings

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "operations.md"
NAMES = ROOT / "schemas" / "boxyard_schemas" / "variables.txt"
_BEGIN, _END = "<!-- settings: written by `make settings` -->\n", "<!-- end of settings -->\n"

GROUPS: dict[type[BaseSettings], str] = {
    LedgerSettings: "Server, detect, deliver and sweep: what they share",
    ServerSettings: "Server",
    EgressSettings: "Detect and deliver: the way out",
    DetectSettings: "Detect",
    DeliverSettings: "Deliver",
    SweepSettings: "Sweep",
    CacheSettings: "Detect and `boxyard models`: pulled weights",
    WeightsSettings: "`boxyard models pull`",
}
"""Each class stands for the settings that it adds to those it builds on."""

OTHERS = {
    "BOXYARD_URL": "the client and the command line",
    "BOXYARD_STACK": "`boxyard up`, from the `env` of a stack",
    "BOXYARD_LOG_LEVEL": "an option of `boxyard-worker`",
    "BOXYARD_CLOCK": "tests/chaos/clock.c",
    "BOXYARD_COMPOSE": "tests/compose",
    "BOXYARD_ENGINE_DIR": "tests/compose",
    "BOXYARD_TEST_SEED": "tests/server",
}
"""Variables that are no setting of a class and not in docker-compose.yml, and who reads them."""

_UNITS = {"_s": "seconds", "_ms": "milliseconds", "_bytes": "bytes"}
_KINDS = {
    bool: "true or false",
    int: "number",
    Path: "path",
    SecretStr: "secret",
    frozenset: "list",
    tuple: "list",
}
_SCALES = {
    "seconds": ((86400, "days"), (3600, "hours"), (60, "minutes")),
    "bytes": ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")),
}
_BOUNDS = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}


def write_tables() -> str:
    """All settings, a table a group."""
    parts = [_table(title, _rows(kind)) for kind, title in GROUPS.items()]
    return "\n".join([*parts, _table("`boxyard up`: options", _options(), "option")])


def put_in(page: str) -> str:
    """The page with today's tables between its markers."""
    head, rest = page.split(_BEGIN)
    return f"{head}{_BEGIN}\n{write_tables()}\n{_END}{rest.split(_END)[1]}"


def write_names() -> str:
    """Every variable that anything reads, a line each."""
    settings = {f"BOXYARD_{name.upper()}" for kind in GROUPS for name in kind.model_fields}
    composed = re.findall(r"\$\{(BOXYARD_\w+)", (ROOT / "docker-compose.yml").read_text())
    return "".join(f"{name}\n" for name in sorted({*settings, *composed, *OTHERS}))


def own_fields(kind: type[BaseSettings]) -> dict[str, FieldInfo]:
    """What a class adds."""
    return {name: kind.model_fields[name] for name in kind.__annotations__}


def unit_of(name: str, field: FieldInfo) -> str:
    """What a value counts in, or what kind of thing it is."""
    known = _extra(field).get("unit")
    by_name = next((unit for end, unit in _UNITS.items() if name.endswith(end)), None)
    return str(known or by_name or _KINDS.get(_plain(field.annotation), "text"))


def _rows(kind: type[BaseSettings]) -> Iterator[tuple[str, str, str, str]]:
    for name, field in own_fields(kind).items():
        unit = unit_of(name, field)
        bounds = [
            f"{sign} {getattr(rule, bound):g}"
            for rule in field.metadata
            for bound, sign in _BOUNDS.items()
            if hasattr(rule, bound) and getattr(rule, bound) < 2**16
        ]
        said = ", ".join([unit, *bounds])
        yield f"`BOXYARD_{name.upper()}`", _default(field, unit), said, field.description or ""


def _options() -> Iterator[tuple[str, str, str, str]]:
    command = typer.main.get_command(app).commands["up"]  # type: ignore[attr-defined]  # a group
    for option in command.params:
        if not option.hidden:
            default = _shown(option.default, "") if option.default is not None else "none"
            kinds = {**_KINDS, type(Path()): "path"}
            kind = "list" if option.multiple else kinds.get(type(option.default), "text")
            yield f"`{option.opts[0]}`", default, kind, option.help


def _default(field: FieldInfo, unit: str) -> str:
    if said := _extra(field).get("default"):
        return str(said)
    if field.default in (None, "", PydanticUndefined) or field.default == ():
        return "none"
    return _shown(field.default, unit)


def _shown(value: object, unit: str) -> str:
    if isinstance(value, tuple):
        return f"`[{', '.join(f'{each:g}' for each in value)}]`"
    if isinstance(value, frozenset):
        return f"`{','.join(map(str, sorted(value)))}`"
    if not isinstance(value, int | float) or isinstance(value, bool):
        return f"`{str(value).lower() if isinstance(value, bool) else value}`"
    for size, name in _SCALES.get(unit, ()):
        if value >= 2 * size and value % size == 0:
            return f"`{value:.0f}` ({value / size:.0f} {name})"
    return f"`{int(value) if value == int(value) else value}`"


def _extra(field: FieldInfo) -> dict[str, Any]:
    return field.json_schema_extra if isinstance(field.json_schema_extra, dict) else {}


def _plain(annotation: Any) -> Any:
    """The type without what surrounds it: `tuple` for `tuple[str, ...] | None`."""
    if get_origin(annotation) in (Annotated, Union, types.UnionType):
        return _plain(get_args(annotation)[0])
    return get_origin(annotation) or annotation


def _table(title: str, rows: Iterator[tuple[str, str, str, str]], what: str = "variable") -> str:
    lines = [
        f"### {title}",
        "",
        f"| {what} | default | unit or kind | meaning |",
        "|---|---|---|---|",
    ]
    lines += [f"| {' | '.join(re.sub('[|]', '/', cell) for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    PAGE.write_text(put_in(PAGE.read_text()))
    NAMES.write_text(write_names())
