"""docs/client.md runs as it stands there, and shows everything that the client can do."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from boxyard_producer import AsyncClient, Client
from boxyard_producer.client import SeenImage

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "client.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """The checkout's pictures, with something on each that the stand-in sees."""
    shutil.copytree(ROOT / "examples" / "images", tmp_path / "examples" / "images")
    for path in tmp_path.glob("examples/images/*.jpg"):
        with Image.open(path) as picture:
            ImageDraw.Draw(picture).rectangle((40, 60, 119, 139), fill=(230, 10, 10))
            picture.save(path)
    return tmp_path


def test_the_page_runs_from_top_to_bottom(
    quick_reader: dict[str, str],
    checkout: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(checkout)
    for name in ("BOXYARD_URL", "BOXYARD_API_KEY"):
        monkeypatch.setenv(name, quick_reader[name])
    session: dict[str, Any] = {}
    for number, block in enumerate(BLOCKS):
        exec(compile(block, f"docs/client.md, example {number}", "exec"), session)
    assert session["ended"].state == "succeeded"
    assert len(session["jobs"]) == 2
    assert session["entries"]
    assert int(capsys.readouterr().out.split()[-1]) >= len(session["pictures"])


def test_the_page_shows_every_public_method() -> None:
    shown = set(re.findall(r"\b(?:boxyard|image|\])\.(\w+)\(", "\n".join(BLOCKS)))
    own = {name for name in vars(Client) if not name.startswith("_")}
    assert own - shown == set()
    forms = {name for name in vars(SeenImage) if name.startswith("to_")}
    assert forms - shown == set()


def test_both_clients_can_do_the_same() -> None:
    assert {name for name in vars(Client) if not name.startswith("_")} == {
        name for name in dir(AsyncClient) if not name.startswith("_")
    }
