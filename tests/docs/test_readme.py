"""Every example of the README runs as it stands there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"^```(sh|python)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)
CONSUMER = (ROOT / "examples" / "callback_consumer.py").read_text()


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A folder like the checkout's root, in which examples may write."""
    shutil.copytree(ROOT / "examples" / "images", tmp_path / "examples" / "images")
    return tmp_path


def _command(language: str, text: str) -> list[str]:
    return ["bash", "-euc", text] if language == "sh" else [sys.executable, "-c", text]


@pytest.mark.parametrize(
    ("language", "text"),
    [block for block in BLOCKS if block[1] != CONSUMER],
    ids=lambda part: part.splitlines()[0][:40],
)
def test_an_example_of_the_readme_runs(
    language: str, text: str, reader: dict[str, str], checkout: Path
) -> None:
    done = subprocess.run(
        _command(language, text),
        env=reader,
        cwd=checkout,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "carton" in done.stdout or "bottle" in done.stdout, done.stdout + done.stderr


def test_the_readme_shows_the_callback_consumer_of_the_examples() -> None:
    assert ("python", CONSUMER) in BLOCKS


def test_every_file_that_the_readme_links_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", README)
    assert links
    assert [link for link in links if not (ROOT / link).exists()] == []


def test_a_python_that_boxyard_was_not_tested_on_is_refused_before_anything_is_fetched(
    tmp_path: Path,
) -> None:
    environment = tmp_path / "venv"
    words = ["make", f"VENV={environment}", "PYTHON=false", "install"]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert "Boxyard needs Python 3.11" in done.stdout
    assert not environment.exists()
