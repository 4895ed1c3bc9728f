"""What the docs show passes the type checkers of users, who have none of our plugins."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
USES = Path(__file__).parent / "typed_use.py"
PAGES = (ROOT / "README.md", ROOT / "docs" / "client.md", ROOT / "docs" / "consumers.md")
EXAMPLES = [
    ROOT / "examples" / "quickstart.py",
    ROOT / "examples" / "callback_consumer.py",
    *(ROOT / "examples" / "consumers").glob("*.py"),
]

# The consumers' frameworks and redis-py are typed in part, which is not for us to change.
PYRIGHT = {
    "typeCheckingMode": "standard",
    "strict": ["page_*.py", "typed_use.py", "quickstart.py", "callback_consumer.py"],
}


@pytest.fixture(scope="module")
def user(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of a user's own: the pages' examples, each page one program, and the examples."""
    folder = tmp_path_factory.mktemp("user")
    for page in PAGES:
        blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL)
        assert blocks
        (folder / f"page_{page.stem.lower()}.py").write_text("\n".join(blocks))
    for example in [USES, *EXAMPLES]:
        shutil.copy(example, folder)
    (folder / "pyrightconfig.json").write_text(json.dumps(PYRIGHT))
    return folder


def test_mypy_accepts_every_example_in_strict_mode_without_plugins(user: Path) -> None:
    cache = ROOT / ".mypy_cache" / "users"
    mypy = [sys.executable, "-m", "mypy", "--strict", "--config-file=", f"--cache-dir={cache}"]
    done = subprocess.run([*mypy, "."], cwd=user, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_pyright_accepts_every_example_and_the_clients_in_strict_mode(user: Path) -> None:
    pyright = [sys.executable, "-m", "basedpyright", "--pythonpath", sys.executable]
    done = subprocess.run(pyright, cwd=user, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
