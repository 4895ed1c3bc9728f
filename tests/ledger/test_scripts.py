"""What holds for every script."""

from __future__ import annotations

import re
from importlib.resources import files

from boxyard_ledger import scripts

SCRIPTS = {
    path.name: path.read_text() for path in files(scripts).iterdir() if path.name.endswith(".lua")
}


def test_no_script_negates_an_argument() -> None:
    # Lua's -"0" is -0, which Redis 7.0 hands on as it stands, and no command takes it for a number.
    negated = [name for name, text in SCRIPTS.items() if re.search(r"[,(]\s*-\s*ARGV", text)]
    assert sorted(SCRIPTS)[0] == "accept.lua"
    assert negated == []
