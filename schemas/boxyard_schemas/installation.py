"""How this copy of Boxyard was installed, and the command that adds an extra to it.

Boxyard is on no package index, and the name `boxyard` there belongs to another project. So a hint
never names the index: it names where this copy came from, which pip has recorded.
"""

from __future__ import annotations

import json
import shlex
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

DISTRIBUTION = "boxyard-detect"


def install_command(extra: str) -> str:
    """The command that installs an extra, such as `pip install '/home/me/boxyard[draw]'`."""
    origin = _origin()
    url = str(origin.get("url", ""))
    folder = Path(unquote(urlsplit(url).path))
    if "vcs_info" in origin:
        vcs, commit = origin["vcs_info"]["vcs"], origin["vcs_info"]["commit_id"]
        return f"pip install {shlex.quote(f'{DISTRIBUTION}[{extra}] @ {vcs}+{url}@{commit}')}"
    if "archive_info" in origin:
        return f"pip install {shlex.quote(f'{DISTRIBUTION}[{extra}] @ {url}')}"
    if "dir_info" in origin and (folder / "pyproject.toml").is_file():
        editable = "-e " if origin["dir_info"].get("editable") else ""
        return f"pip install {editable}{shlex.quote(f'{folder}[{extra}]')}"
    return f"pip install '.[{extra}]' in a checkout of Boxyard"


def _origin() -> dict[str, Any]:
    """What the installer recorded (PEP 610); nothing where it recorded nothing."""
    try:
        recorded = distribution(DISTRIBUTION).read_text("direct_url.json")
    except PackageNotFoundError:
        return {}
    found: dict[str, Any] = json.loads(recorded) if recorded else {}
    return found
