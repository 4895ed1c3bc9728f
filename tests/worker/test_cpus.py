"""The CPUs that a process may use: its affinity, and its cgroups' quotas."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from boxyard_worker.cpus import count_cpus, count_model_threads
from boxyard_worker.detect.process import ChildProcess

COUNT = "from boxyard_worker.cpus import count_cpus; print(count_cpus())"


@pytest.fixture(autouse=True)
def many_cpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: set(range(64)))


def count(folder: Path, process: str, **files: str) -> int:
    """With files of the cgroup file systems, by path: `__` stands for `/`."""
    for name, text in files.items():
        path = folder / "cgroup" / name.replace("__", "/").replace("_dot_", ".")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    (folder / "self").write_text(process)
    return count_cpus(folder / "cgroup", folder / "self")


@pytest.mark.parametrize(
    ("text", "cpus"),
    [
        ("max 100000\n", 64),
        ("200000 100000\n", 2),
        ("350000 100000\n", 3),
        ("50000 100000\n", 1),
        ("nonsense\n", 64),
        ("", 64),
    ],
)
def test_a_quota_of_cgroup_v2(tmp_path: Path, text: str, cpus: int) -> None:
    assert count(tmp_path, "0::/\n", cpu_dot_max=text) == cpus


def test_the_smallest_quota_of_a_group_and_its_parents_holds(tmp_path: Path) -> None:
    files = {"cpu_dot_max": "max 1", "a__cpu_dot_max": "300 100", "a__b__cpu_dot_max": "800 100"}
    assert count(tmp_path, "0::/a/b\n", **files) == 3


@pytest.mark.parametrize("mounted", ["cpu,cpuacct", "cpu"])
@pytest.mark.parametrize("path", ["/", "/docker/0123"], ids=["own", "the hosts"])
@pytest.mark.parametrize(("quota", "cpus"), [("-1", 64), ("400000", 4), ("20000", 1)])
def test_a_quota_of_cgroup_v1(
    tmp_path: Path, mounted: str, path: str, quota: str, cpus: int
) -> None:
    files = {
        f"{mounted}__cpu.cfs_quota_us": quota,
        f"{mounted}__cpu.cfs_period_us": "100000",
        "memory__cpu.cfs_quota_us": "1",
    }
    process = f"12:cpuset:{path}\n5:memory:{path}\n4:cpu,cpuacct:{path}\n0::/\n"
    assert count(tmp_path, process, **files) == cpus


def test_without_cgroups_affinity_counts(tmp_path: Path) -> None:
    assert count_cpus(tmp_path / "none", tmp_path / "nothing") == 64


def test_a_real_affinity_is_seen() -> None:
    first = min(map(int, _allowed()))
    command = ["taskset", "-c", str(first), sys.executable, "-c", COUNT]
    assert subprocess.check_output(command, text=True).strip() == "1"


def _allowed() -> list[str]:
    status = Path("/proc/self/status").read_text()
    (line,) = (line for line in status.splitlines() if line.startswith("Cpus_allowed_list"))
    return line.partition(":")[2].replace("-", ",").split(",")


@pytest.mark.parametrize(
    ("cpus", "threads"), [(1, 1), (2, 1), (3, 2), (4, 3), (8, 6), (16, 12), (64, 48)]
)
def test_a_model_leaves_cpus_to_the_processes_around_it(cpus: int, threads: int) -> None:
    assert count_model_threads(cpus) == threads


def test_the_models_process_starts_with_its_threads_and_waits_without_spinning() -> None:
    child = ChildProcess((), "", threads=3)
    try:
        environment = Path(f"/proc/{child.pid}/environ").read_bytes().split(b"\0")
    finally:
        child.end()
    for name in ("OMP_NUM_THREADS", "OPENCV_FOR_THREADS_NUM"):
        assert f"{name}=3".encode() in environment
    assert b"OMP_WAIT_POLICY=PASSIVE" in environment
