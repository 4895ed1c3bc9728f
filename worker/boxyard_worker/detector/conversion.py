"""Published `.pth` checkpoints → safetensors, once, offline, without running what is pickled.

A process of its own reads the file: its unpickler makes nothing but tensors and plain values, and
should somebody find a way past it, there are no secrets, no network where the kernel lets it go,
and an end to memory and time.
"""

from __future__ import annotations

import json
import os
import secrets
import shutil
import subprocess
import sys
from pathlib import Path

from boxyard_worker.detector.confinement import leave_network, limit, without_secrets
from boxyard_worker.detector.digest import claimed_digest, hash_file
from boxyard_worker.detector.errors import DetectorLoadError
from boxyard_worker.detector.file_kinds import CHECKPOINT, refuse_foreign

_HINT = "Use the checkpoint that the training wrote, or that mmdet publishes."
_CPU_S = 600
_ROOM = 512 << 20
"""Bytes beyond the file and a copy of its tensors."""


def convert_checkpoint(source: Path, target: Path | None = None) -> Path:
    """Writes a checkpoint's parameters, class names and module versions as safetensors.

    Args:
        source: a published checkpoint, whose name may end in the start of its own sha256.
        target: the file to write; beside the source when left out.

    Raises:
        DetectorLoadError: the file is missing, damaged, not a checkpoint, or holds what could run
            code; or there is no room for what it becomes.
    """
    if source.suffix == ".safetensors":
        raise DetectorLoadError(f"{source} is safetensors already.", "Serve it by --weights FILE.")
    _refuse_foreign(source)
    target = target or source.with_suffix(".safetensors")
    if target.exists() and target.samefile(source):
        raise DetectorLoadError(
            f"{target} is the checkpoint itself, and would be overwritten.", "Name another file."
        )
    draft = target.with_name(f".{target.name}.{secrets.token_hex(4)}")
    digest = _check_digest(source)
    try:
        draft.touch()
        mode = draft.stat().st_mode  # of a new file here; safetensors makes private ones
        _convert_apart(source, digest, draft)
        draft.chmod(mode)
        os.replace(draft, target)
    except OSError as error:
        raise DetectorLoadError(
            f"{target} cannot be written: {error.strerror}.", "Name another place."
        ) from error
    finally:
        draft.unlink(missing_ok=True)
    return target


def _convert_apart(source: Path, digest: str, draft: Path) -> None:
    told = subprocess.run(
        [sys.executable, "-P", "-m", "boxyard_worker.detector.conversion", source, digest, draft],
        env=without_secrets() | {"CUDA_VISIBLE_DEVICES": "", "OMP_NUM_THREADS": "1"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        errors="replace",
        check=False,
    )
    if told.returncode == 0:
        return
    try:
        message, hint = json.loads(told.stdout)
    except ValueError:
        message = f"{source.name} ended the process that read it (status {told.returncode})."
        hint = _HINT
    raise DetectorLoadError(str(message), str(hint))


def _refuse_foreign(source: Path) -> None:
    try:
        refuse_foreign(source, "The checkpoint", CHECKPOINT)
    except OSError as error:
        raise _absent(source, error) from error


def _absent(source: Path, error: OSError) -> DetectorLoadError:
    return DetectorLoadError(f"{source} cannot be read: {error.strerror}.", "Name a file.")


def _check_digest(source: Path) -> str:
    try:
        digest = hash_file(source)
    except OSError as error:
        raise _absent(source, error) from error
    claimed = claimed_digest(source)
    if not digest.startswith(claimed):
        raise DetectorLoadError(
            f"{source.name} is damaged: its sha256 begins with {digest[:8]}, not {claimed}.",
            "Fetch it again.",
        )
    return digest


def _main(source: Path, digest: str, draft: Path) -> int:
    leave_network()
    from boxyard_worker.detector.checkpoint import write_weights  # noqa: PLC0415 - one thread till here

    size = source.stat().st_size
    limit(memory=3 * size + _ROOM, file=2 * size + _ROOM, cpu_s=_CPU_S)
    try:
        write_weights(source, digest, draft)
    except DetectorLoadError as error:
        print(json.dumps([error.message, error.hint]))
    except Exception as error:  # a stranger's file makes the libraries raise anything
        told = f"{source.name} cannot be converted: {type(error).__name__}: {error}"
        print(json.dumps([f"{told[:500]}.", advise(draft.parent, size)]))
    else:
        return 0
    return 1


def advise(folder: Path, size: int) -> str:
    """What to do about a file of so many bytes whose weights could not be written to a folder."""
    crowded = shutil.disk_usage(folder).free < size
    return f"Make room in {folder.resolve()}: little is left." if crowded else _HINT


if __name__ == "__main__":
    sys.exit(_main(Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])))
