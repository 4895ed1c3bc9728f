"""The hint that installs an extra names the place that this copy came from."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from boxyard_schemas.installation import DISTRIBUTION, install_command


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Installs metadata like pip's, with what it recorded of the origin."""
    folder = tmp_path / f"{DISTRIBUTION.replace('-', '_')}-0.1.0.dist-info"
    folder.mkdir()
    (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: {DISTRIBUTION}\nVersion: 0\n")
    monkeypatch.syspath_prepend(tmp_path)

    def record(origin: dict[str, Any] | None) -> None:
        if origin is not None:
            (folder / "direct_url.json").write_text(json.dumps(origin))

    return record


def test_a_git_url_is_named_with_its_commit(recorded: Any) -> None:
    recorded(
        {
            "url": "https://example.com/boxyard.git",
            "vcs_info": {"vcs": "git", "commit_id": "0a1b2c", "requested_revision": "main"},
        }
    )
    assert install_command("draw") == (
        "pip install 'boxyard-detect[draw] @ git+https://example.com/boxyard.git@0a1b2c'"
    )


def test_an_archive_is_named_by_its_url(recorded: Any) -> None:
    recorded({"url": "https://example.com/boxyard_detect-0.1.0.whl", "archive_info": {}})
    assert install_command("draw") == (
        "pip install 'boxyard-detect[draw] @ https://example.com/boxyard_detect-0.1.0.whl'"
    )


@pytest.mark.parametrize(("kind", "option"), [({}, ""), ({"editable": True}, "-e ")])
def test_a_checkout_is_named_by_its_path(
    recorded: Any, tmp_path: Path, kind: dict[str, Any], option: str
) -> None:
    checkout = tmp_path / "my boxyard"
    checkout.mkdir()
    (checkout / "pyproject.toml").touch()
    recorded({"url": checkout.as_uri(), "dir_info": kind})
    assert install_command("draw") == f"pip install {option}'{checkout}[draw]'"


@pytest.mark.parametrize(
    "origin",
    [None, {"url": "file:///gone", "dir_info": {}}, {"url": "file:///gone"}, {}],
    ids=["nothing", "gone", "unknown", "empty"],
)
def test_an_origin_that_is_not_there_is_any_checkout(
    recorded: Any, origin: dict[str, Any] | None
) -> None:
    recorded(origin)
    assert install_command("draw") == "pip install '.[draw]' in a checkout of Boxyard"
