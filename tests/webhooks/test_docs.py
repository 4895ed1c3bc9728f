"""What docs/consumers.md shows runs as it stands there."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from boxyard_schemas import EventType

from .conftest import SECRET
from .consumers import Consumer

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "consumers.md").read_text()
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
CODE = [text for language, text in BLOCKS if language in ("sh", "python")]
SAID = ["answer 202 unknown-event", "act\nit was acted on", "every answer in time"]


def run(text: str, environment: dict[str, str], folder: Path) -> str:
    python = [sys.executable, "-c", text]
    command = python if "import" in text else ["bash", "-euc", text]
    done = subprocess.run(
        command, env=environment, cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.mark.parametrize("number", range(len(CODE)))
def test_an_example_of_the_page_runs(number: int, tmp_path: Path) -> None:
    with Consumer() as consumer:
        environment = {
            **os.environ,
            "BOXYARD_WEBHOOK_SECRET": SECRET,
            "CONSUMER": consumer.url,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        }
        assert SAID[number] in run(CODE[number], environment, tmp_path)


def test_every_file_that_the_page_links_exists() -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)\)", PAGE)
    assert len(links) >= 7
    assert [link for link in links if not (ROOT / "docs" / link).exists()] == []


def test_the_page_names_every_type_and_every_reason() -> None:
    source = (ROOT / "producer/boxyard_producer/webhooks").glob("*.py")
    reasons = re.findall(
        r'(?:Invalid|UnknownEvent)\(\s*"([a-z-]+)"', "".join(map(Path.read_text, source))
    )
    assert len(set(reasons)) == 9
    assert [each for each in (*reasons, *EventType) if f"`{each}`" not in PAGE] == []
