"""No text tells its reader to install another project, or an extra that does not exist."""

from __future__ import annotations

import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from boxyard_producer.diagnosis import extras as diagnosed
from boxyard_schemas.installation import DISTRIBUTION
from boxyard_worker.detector import extras as detecting

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
EXTRAS = set(PROJECT["optional-dependencies"])

INSTALLER = r"(?:pip3? install|pipx \w+|uv add|uv pip install|uv tool \w+|uvx|(?:poetry|pdm) add)"
INDEXED = [
    # Ours by a name on the index, where it is not published: `NAME @ URL` is no such name.
    re.compile(
        rf"{INSTALLER}(?:[ \t]+[^\s`]+)*?"
        r"[ \t]+['\"]?boxyard[\w-]*+(?:\[[^\]]*\])?+(?! @ |/)"
    ),
    # Requirements of another project that is called `boxyard`.
    re.compile(r"(?<![\w./-])boxyard\["),
    re.compile(r"(?<![\w.-])boxyard *(?:[=~><!]=| @ )"),
]


def texts() -> dict[str, str]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    found = {}
    for name in filter(None, listed.split("\0")):
        path = ROOT / name
        if path.is_file() and path != Path(__file__):
            found[name] = path.read_bytes().decode(errors="ignore")
    return found


def find_indexed(text: str) -> list[str]:
    return [match[0] for pattern in INDEXED for match in pattern.finditer(text)]


@pytest.mark.parametrize(
    "line",
    [
        "pip install boxyard",
        "`pip install --upgrade 'boxyard[draw]'`",
        "pip install boxyard-detect",
        "uv add boxyard",
        "uvx boxyard doctor",
        "pipx install boxyard",
        "poetry add httpx boxyard",
        "boxyard==0.1.0",
        'dependencies = ["boxyard[arrays]"]',
        "boxyard @ https://example.com/boxyard.whl",
    ],
)
def test_a_line_that_names_the_index_is_found(line: str) -> None:
    assert find_indexed(line)


@pytest.mark.parametrize(
    "line",
    [
        "pip install '.[draw]'",
        "pip install 'boxyard-detect[draw] @ git+https://example.com/boxyard.git'",
        "pip install -e /srv/boxyard",
        "boxyard submit --wait",
        'name = "boxyard-detect"',
    ],
)
def test_a_line_that_names_a_place_is_not(line: str) -> None:
    assert not find_indexed(line)


def test_no_text_installs_from_the_index() -> None:
    found = {name: lines for name, text in texts().items() if (lines := find_indexed(text))}
    assert found == {}


def test_every_extra_that_a_text_names_exists() -> None:
    pattern = r"""install [^\n`]*?[\w/.]\[([a-z,]+)\]['"]|install_command\(['"](\w+)['"]\)"""
    named = {
        (name, extra)
        for name, text in texts().items()
        for match in re.finditer(pattern, text)
        for extra in (match[1] or match[2]).split(",")
    }
    assert len(named) > 10
    assert {(name, extra) for name, extra in named if extra not in EXTRAS} == set()


def test_every_extra_that_a_hint_is_made_of_exists() -> None:
    made = {finding.name.removeprefix("extra ") for finding in diagnosed.examine_extras()}
    assert made | set(detecting.EXTRAS.values()) <= EXTRAS


def test_the_extras_refer_to_each_other_by_the_distributions_name() -> None:
    assert PROJECT["name"] == DISTRIBUTION
