"""A checkpoint is a stranger's file: nothing in it runs, and it takes no more than it may."""

from __future__ import annotations

import builtins
import io
import os
import pickle
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from boxyard_worker.detector import DetectorLoadError
from boxyard_worker.detector.checkpoint import read_checkpoint, write_weights
from boxyard_worker.detector.conversion import convert_checkpoint
from chaos.memory import Peak


class Call:
    """Pickled, it says: call this with that."""

    def __init__(self, function: Callable[..., object], *arguments: object) -> None:
        self._call = (function, arguments)

    def __reduce__(self) -> tuple[Callable[..., object], tuple[object, ...]]:
        return self._call


def dumps(content: object) -> bytes:
    """In the protocol that torch reads: others are refused by their first byte."""
    return pickle.dumps(content, protocol=2)


def state(tmp_path: Path, **files: bytes) -> Path:
    """A file as torch writes it, with some of its parts exchanged."""
    honest, path = io.BytesIO(), tmp_path / "model.pth"
    torch.save({"w": torch.zeros(2)}, honest)
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(path, "w") as new:
        for name in old.namelist():
            key = name.rpartition("/")[2].replace(".", "_")
            new.writestr(name, files.get(key, old.read(name)))
    return path


def pickles(trap: str) -> dict[str, bytes]:
    """Each would make the folder `trap`, or worse, if it were read by pickle."""
    command = f"mkdir {trap}"
    nested = dumps(Call(os.mkdir, trap))
    chain = Call(getattr, Call(getattr, Call(__import__, "os"), "path"), "os")
    return {
        "os.system": dumps({"w": Call(os.system, command)}),
        "subprocess": dumps({"w": Call(subprocess.check_call, ["mkdir", trap])}),
        "eval": dumps({"w": Call(builtins.eval, f"__import__('os').mkdir({trap!r})")}),
        "exec": dumps({"w": Call(builtins.exec, f"import os; os.mkdir({trap!r})")}),
        "getattr, then called": dumps({"w": Call(getattr, chain, "mkdir")}),
        "getattr's finding is called": (
            b"cbuiltins\ngetattr\n(cbuiltins\ngetattr\nX\x05\0\0\0helloX\x05\0\0\0uppertR(tR."
        ),
        "open": dumps({"w": Call(builtins.open, f"{trap}-file", "w")}),
        "a pickle in a pickle": dumps({"w": Call(pickle.loads, nested)}),
        "torch.load without safety": dumps({"w": Call(torch.load, io.BytesIO(nested))}),
        "an extension's number": b"\x80\x02\x82\x01(X\x04\0\0\0trueetR.".replace(b"e", b""),
        "two extensions' numbers": b"\x80\x02\x83\x01\x00\x84\x01\x00\x00\x00.",
        "INST": f"(S'{command}'\nios\nsystem\n.".encode(),
        "OBJ": b"(cos\nsystem\nX\x04\0\0\0trueo.",
        "a dotted name": b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x04true\x85R.",
        "a persistent name": b"Pos.system\n.",
        "a module that runs when imported": b"cantigravity\nfly\n.",
    }


@pytest.fixture
def trap(tmp_path: Path) -> str:
    return str(tmp_path / "was-here")


@pytest.mark.parametrize("name", pickles(""))
def test_nothing_that_is_pickled_runs_even_without_the_confinement(
    tmp_path: Path, trap: str, name: str
) -> None:
    path = state(tmp_path, data_pkl=pickles(trap)[name])
    with pytest.raises(DetectorLoadError, match=r"model\.pth"):
        read_checkpoint(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.pth"]


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path, trap: str) -> None:
    path = state(tmp_path, data_pkl=pickles(trap)["os.system"])
    with pytest.raises(DetectorLoadError, match="system"):
        convert_checkpoint(path)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["model.pth"]


@pytest.mark.parametrize("name", ["os.system", "eval", "getattr, then called"])
def test_the_old_format_runs_nothing_either(tmp_path: Path, trap: str, name: str) -> None:
    path = tmp_path / "model.pth"
    torch.save({"w": torch.zeros(2)}, path, _use_new_zipfile_serialization=False)
    assert "w" in read_checkpoint(path)
    honest = path.read_bytes()
    magic = dumps(0x1950A86A20F9469CFC6C) + dumps(1001)
    assert honest.startswith(magic)
    path.write_bytes(magic + dumps({}) + pickles(trap)[name])
    with pytest.raises(DetectorLoadError):
        read_checkpoint(path)
    assert not Path(trap).exists()


def test_the_oldest_format_an_archive_is_refused(tmp_path: Path, trap: str) -> None:
    with tarfile.open(tmp_path / "model.pth", "w") as archive:
        for name in ("sys_info", "storages", "tensors", "pickle"):
            data = dumps(Call(os.mkdir, trap))
            entry = tarfile.TarInfo(name)
            entry.size = len(data)
            archive.addfile(entry, io.BytesIO(data))
    with pytest.raises(DetectorLoadError):
        read_checkpoint(tmp_path / "model.pth")
    assert not Path(trap).exists()


def shaped(tmp_path: Path, size: int, stride: int) -> Path:
    """A file whose one tensor says it has another size and stride than its two numbers."""
    path = state(tmp_path)
    with zipfile.ZipFile(path) as file:
        (name,) = (each for each in file.namelist() if each.endswith("data.pkl"))
        honest = file.read(name)
    lie = b"\x8a\x08" + size.to_bytes(8, "little", signed=True) + b"\x85q"
    changed = honest.replace(b"K\x02\x85q", lie).replace(
        b"K\x01\x85q", bytes([75, stride]) + b"\x85q"
    )
    assert changed != honest
    return state(tmp_path, data_pkl=changed)


def stuffed(tmp_path: Path, name: str, content: bytes = b"x", mode: int = 0o100644) -> Path:
    """A file with one more part."""
    path = state(tmp_path)
    with zipfile.ZipFile(path, "a") as file:
        part = zipfile.ZipInfo(name)
        part.external_attr = mode << 16
        file.writestr(part, content)
    return path


def written(tmp_path: Path, content: bytes) -> Path:
    (tmp_path / "model.pth").write_bytes(content)
    return tmp_path / "model.pth"


def linked(tmp_path: Path) -> Path:
    (tmp_path / "model.pth").symlink_to("/etc/passwd")
    return tmp_path / "model.pth"


def tricks(tmp_path: Path) -> dict[str, Callable[[], Path]]:
    one, word = b"\x80\x02}X\x01\0\0\0w", b"X\x04\0\0\0load"
    return {
        "a tensor beyond its numbers": lambda: shaped(tmp_path, 1 << 40, 1),
        "a tensor of less than nothing": lambda: shaped(tmp_path, -1, 1),
        "a part outside": lambda: stuffed(tmp_path, "../../was-here"),
        "a part at the root": lambda: stuffed(tmp_path, f"{tmp_path}/was-here"),
        "a program": lambda: stuffed(tmp_path, "archive/constants.pkl", b"\x80\x02)."),
        "ten thousand boxes": lambda: state(
            tmp_path, data_pkl=b"\x80\x02" + b"]" * 10_000 + b"a" * 9_999 + b"."
        ),
        "a box in itself": lambda: state(tmp_path, data_pkl=b"\x80\x02}q\0X\1\0\0\0wh\0s."),
        "a number for a name": lambda: state(tmp_path, data_pkl=b"\x80\x02}K\x01K\x02s."),
        "torch's own load": lambda: state(
            tmp_path,
            data_pkl=one
            + b"c__builtin__\ngetattr\nctorch.serialization\nload\n"
            + word
            + b"\x86Rs.",
        ),
        "a hook of a subclass": lambda: state(
            tmp_path,
            data_pkl=one
            + b"ctorch._tensor\n_rebuild_from_type_v2\n(cos\nsystem\nctorch\nTensor\n)}tRs.",
        ),
        "a hook of a module": lambda: state(
            tmp_path, data_pkl=one + b"ctorch.hub\nload_state_dict_from_url\n" + word + b"\x85Rs."
        ),
        "a parameter's hooks": lambda: state(
            tmp_path,
            data_pkl=one + b"ctorch._utils\n_rebuild_parameter\n(K\1\x88cos\nsystem\ntRs.",
        ),
        "a link": lambda: linked(tmp_path),
        "a web page": lambda: written(tmp_path, b"<!doctype html><title>Log in</title>" * 9),
        "nothing": lambda: written(tmp_path, b""),
        "half": lambda: written(tmp_path, state(tmp_path).read_bytes()[:700]),
    }


@pytest.mark.parametrize("kind", tricks(Path()))
def test_no_trick_of_an_archive_gives_weights_or_leaves_anything(tmp_path: Path, kind: str) -> None:
    path = tricks(tmp_path)[kind]()
    before = {each.name for each in tmp_path.iterdir()}
    with pytest.raises(DetectorLoadError, match=r"model\.pth"):
        write_weights(path, "", tmp_path / "model.safetensors")
    assert {each.name for each in tmp_path.iterdir()} == before


def test_a_link_in_an_archive_is_no_link(tmp_path: Path) -> None:
    path = stuffed(tmp_path, "archive/data/1", b"/etc/passwd", mode=0o120777)
    write_weights(path, "", tmp_path / "model.safetensors")
    assert not (tmp_path / "model.safetensors").is_symlink()
    assert b"root:" not in (tmp_path / "model.safetensors").read_bytes()


def packed(tmp_path: Path, megabytes: int) -> Path:
    """A file whose one tensor is so many megabytes of zeros, packed a thousandfold."""
    path, zeros = state(tmp_path), bytes(1 << 20)
    bomb = path.with_name("bomb.pth")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            with new.open(name, "w") as file:
                for _ in range(megabytes) if name.endswith("data/0") else ():
                    file.write(zeros)
                if not name.endswith("data/0"):
                    file.write(old.read(name))
    return bomb


def wishes(tmp_path: Path) -> dict[str, Callable[[], Path]]:
    return {
        "asked for": lambda: state(tmp_path, data_pkl=dumps({"w": Call(bytearray, 1 << 40)})),
        "packed": lambda: packed(tmp_path, 1500),
        "the same number, often": lambda: shaped(tmp_path, 1 << 30, 0),
        "a number": lambda: state(
            tmp_path, data_pkl=b"\x80\x02\x8b\xff\xff\xff\x7f" + bytes(8) + b"."
        ),
    }


@pytest.mark.parametrize("kind", wishes(Path()))
def test_a_file_that_wants_more_memory_than_it_has_bytes_is_refused(
    tmp_path: Path, kind: str
) -> None:
    bomb = wishes(tmp_path)[kind]()
    with Peak(os.getpid()) as peak, pytest.raises(DetectorLoadError):
        convert_checkpoint(bomb)
    assert peak.grown < 1400 << 20
    assert list(tmp_path.glob("*safetensors*")) == []


def test_what_is_no_state_of_tensors_is_no_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / "model.pth"
    for content in (
        [1, 2],
        {"w": "text"},
        {1: torch.ones(1)},
        {"state_dict": {"w": 1}},
        {"state_dict": 7},
    ):
        torch.save(content, path)
        with pytest.raises(DetectorLoadError, match="holds no parameters"):
            write_weights(path, "", tmp_path / "model.safetensors")


def confined(code: str, **environment: str) -> str:
    """What a program says that runs as the converting process does."""
    start = (
        "from boxyard_worker.detector.confinement import leave_network, limit, without_secrets\n"
        "import os, socket\n"
        "away = leave_network()\n"
    )
    told = subprocess.run(
        [sys.executable, "-c", start + code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return told.stdout.strip()


def test_the_reader_has_no_network_where_the_kernel_lets_it_go() -> None:
    reach = (
        "import errno\n"
        "try: socket.create_connection(('127.0.0.1', 9), 5)\n"
        "except OSError as error: print(away, error.errno == errno.ENETUNREACH)\n"
    )
    assert confined(reach) in ("True True", "False False")


def test_the_reader_sees_no_secret() -> None:
    said = confined("print(sorted(without_secrets()))", BOXYARD_S3_SECRET_ACCESS_KEY="x")
    assert "PATH" in said
    assert "SECRET" not in said


def test_a_large_honest_checkpoint_fits_into_the_limits(tmp_path: Path) -> None:
    tensors = {f"layer.{n}": torch.rand(4 << 20) for n in range(20)}  # 320 MB
    torch.save({"state_dict": tensors}, tmp_path / "model.pth")
    assert convert_checkpoint(tmp_path / "model.pth").stat().st_size > 320 << 20
