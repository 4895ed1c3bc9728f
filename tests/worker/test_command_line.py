"""`boxyard-worker` starts light and says what is missing."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from boxyard_schemas.installation import install_command


def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [Path(sys.executable).with_name("boxyard-worker"), *arguments],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def without(*packages: str) -> list[str]:
    """A Python that has no such packages, as on the base install."""
    blocked = "; ".join(f"sys.modules[{name!r}] = None" for name in packages)
    return [
        sys.executable,
        "-c",
        f"import sys; {blocked}; from boxyard_worker.cli import main; main()",
    ]


def test_help_names_every_command_without_the_heavy_parts() -> None:
    python = without("torch", "mmdet", "cv2", "celery", "redis", "numpy", "boto3")
    shown = subprocess.run([*python, "--help"], capture_output=True, text=True, check=True).stdout
    assert all(command in shown for command in ("detect", "deliver", "sweep", "check"))


@pytest.mark.parametrize("command", ["detect", "deliver", "sweep"])
def test_the_base_install_says_which_extra_is_missing(command: str) -> None:
    python = without("redis", "celery", "structlog", "pydantic_settings")
    told = subprocess.run([*python, command], capture_output=True, text=True, check=False)
    assert told.returncode == 1
    assert install_command("detect") in told.stderr
    assert install_command("worker") in told.stderr
    assert "Traceback" not in told.stderr


def test_the_parent_imports_no_torch() -> None:
    code = "import sys, boxyard_worker.detect.worker; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_a_setting_that_does_not_fit_is_named() -> None:
    told = run("detect", "--max-batch", "0", BOXYARD_LEASE_S="soon")
    assert told.returncode == 1
    assert "BOXYARD_LEASE_S" in told.stderr
    assert "BOXYARD_MAX_BATCH" in told.stderr
    assert "Traceback" not in told.stderr


def test_a_log_level_that_is_none_is_named() -> None:
    told = run("sweep", "--log-level", "loud")
    assert told.returncode == 1
    assert "'loud'" in told.stderr
    assert "warning" in told.stderr
    assert "Traceback" not in told.stderr


def test_check_reports_every_part_for_programs() -> None:
    told = run("check", "--json")
    findings = {finding["name"]: finding for finding in json.loads(told.stdout)}
    assert set(findings) == {
        "torch",
        "torchvision",
        "CUDA",
        "operators",
        "mmdet",
        "demo weights",
    }
    assert all(set(finding) == {"name", "ok", "detail", "mend"} for finding in findings.values())
    assert findings["operators"]["ok"]
    assert told.returncode == (0 if all(f["ok"] for f in findings.values()) else 1)
