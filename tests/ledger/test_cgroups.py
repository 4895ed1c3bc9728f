"""The memory that a container leaves to the embedded Redis."""

from __future__ import annotations

from pathlib import Path

import pytest
import redis

from boxyard_ledger import EmbeddedRedis, cgroups
from boxyard_ledger.cgroups import find_memory

MACHINE = find_memory(Path("/nowhere"), Path("/nowhere"))


def limited(folder: Path, process: str, limits: dict[str, str]) -> int:
    """Bytes, with limits by the files that hold them."""
    for name, text in limits.items():
        file = folder / "cgroup" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    (folder / "self").write_text(process)
    return find_memory(folder / "cgroup", folder / "self")


@pytest.mark.parametrize(
    ("process", "limits", "memory"),
    [
        ("0::/\n", {"memory.max": "1000000\n"}, 1_000_000),
        ("0::/\n", {"memory.max": "max\n"}, MACHINE),
        ("0::/\n", {"memory.max": "nonsense\n"}, MACHINE),
        ("0::/\n", {}, MACHINE),
        ("0::/a/b\n", {"a/memory.max": "3000", "a/b/memory.max": "5000"}, 3000),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": "7000"}, 7000),
        ("5:memory:/\n", {"memory/memory.limit_in_bytes": str(2**63 - 4096)}, MACHINE),
        ("5:memory:/docker/1\n", {"memory/memory.limit_in_bytes": "7000"}, 7000),
        ("3:cpu:/\n5:memory:/x\n", {"memory/x/memory.limit_in_bytes": "9000"}, 9000),
    ],
)
def test_the_smallest_limit_holds(
    tmp_path: Path, process: str, limits: dict[str, str], memory: int
) -> None:
    assert limited(tmp_path, process, limits) == memory


def test_the_embedded_redis_takes_half_of_what_its_container_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "memory.max").write_text(str(300 * 2**20))
    (tmp_path / "self").write_text("0::/\n")
    defaults = (tmp_path, tmp_path / "self")
    monkeypatch.setattr(cgroups.find_memory, "__defaults__", defaults)
    with EmbeddedRedis(tmp_path / "redis") as server, redis.Redis.from_url(server.url) as client:
        assert client.config_get("maxmemory") == {"maxmemory": str(150 * 2**20)}
