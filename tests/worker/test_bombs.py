"""Files that want more than a picture may have: fault 33, kind by kind.

Whatever a file says of itself, it costs no more memory than its honest twin, its time ends, and
the next picture is decoded.
"""

from __future__ import annotations

import io
import os
import struct
import sys
import time
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from boxyard_schemas.errors import Permanent, SetupError, Unavailable
from boxyard_worker.decoder.header import Header, read_header
from boxyard_worker.detect.decoder_process import Decoder
from boxyard_worker.detect.decoders import Decoders, memory_of
from pictures import encoded, png, scene

REFUSALS = {"undecodable-image", "too-much-memory", "too-many-pixels"}


@pytest.fixture
def decoder() -> Iterator[Decoder]:
    child = Decoder(64_000_000, deadline_s=60)
    child.decode(png(scene()), 1 << 30)
    yield child
    child.end()


def peak_bytes(pid: int) -> int:
    """The most memory that a process had so far."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) << 10


def open_files() -> set[str]:
    return set(os.listdir("/proc/self/fd"))


def grey(width: int, height: int) -> Image.Image:
    return Image.new("L", (width, height), 120)


def png_chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png_with(*chunks: bytes) -> bytes:
    plain = png(scene())
    return plain[:33] + b"".join(chunks) + plain[33:]


def zeros(megabytes: int) -> bytes:
    packer = zlib.compressobj(9)
    return b"".join(packer.compress(bytes(1 << 20)) for _ in range(megabytes)) + packer.flush()


def lying_jpeg(width: int, height: int, **options: bool) -> bytes:
    data = bytearray(encoded(grey(64, 64).convert("RGB"), "JPEG", **options))
    frame = data.index(b"\xff\xc2" if options else b"\xff\xc0")
    data[frame + 5 : frame + 9] = struct.pack(">HH", height, width)
    return bytes(data)


def jpeg_of_scans(count: int) -> bytes:
    data = encoded(grey(8000, 8000), "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    return data[:-2] + data[last:-2] * count + b"\xff\xd9"


def jpeg_with_exif(entries: int) -> bytes:
    """A directory that says that it has so many numbers, and leads back to itself."""
    entry = struct.pack("<HHII", 0x8769, 4, entries, 8)
    exif = b"Exif\0\0II*\0" + struct.pack("<IH", 8, 4000) + entry * 4000 + struct.pack("<I", 8)
    plain = encoded(grey(64, 64), "JPEG")
    return plain[:2] + b"\xff\xe1" + struct.pack(">H", len(exif) + 2) + exif + plain[2:]


def tiff(*, rows: int, strip_bytes: int, side: int = 64, tile: int = 0) -> bytes:
    """A packed picture whose strip, or tile, says another size than the picture."""
    body = zeros(300) if strip_bytes else zlib.compress(bytes(side * side))
    tags = [(256, side), (257, side), (258, 8), (259, 8), (262, 1), (277, 1)]
    place = [(322, tile), (323, tile), (324, 8), (325, strip_bytes or len(body))]
    strips = [(273, 8), (278, rows), (279, strip_bytes or len(body))]
    tags = sorted(tags + (place if tile else strips))
    directory = struct.pack("<H", len(tags))
    directory += b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags)
    return b"II*\0" + struct.pack("<I", 8 + len(body)) + body + directory + bytes(4)


def rle_bmp(side: int) -> bytes:
    """Rows that are run away with: `side` runs over the end of each."""
    runs = b"\xff\x01" * side + b"\x00\x01"
    header = struct.pack("<IiiHHIIiiII", 40, side, side, 1, 8, 1, 0, 0, 0, 256, 0)
    start = 14 + len(header) + 1024
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, start) + header + bytes(1024) + runs * 200


def lying_webp(side: int) -> bytes:
    data = bytearray(encoded(grey(64, 64).convert("RGBA"), "WEBP", exact=True, lossless=True))
    data[21:25] = struct.pack("<I", (side - 1) | (side - 1) << 14)
    return bytes(data)


BOMBS: dict[str, Callable[[], bytes]] = {
    "a remark of 500 MB": lambda: png_with(png_chunk(b"zTXt", b"Comment\0\0" + zeros(500))),
    "a colour profile of 500 MB": lambda: png_with(png_chunk(b"iCCP", b"x\0\0" + zeros(500))),
    "a hundred remarks of 4 MB": lambda: png_with(
        *[png_chunk(b"iTXt", b"c\0\1\0\0\0" + zeros(4))] * 100
    ),
    "pixels beyond the last row": lambda: png_with(png_chunk(b"IDAT", zeros(500))),
    "a JPEG header that lies": lambda: lying_jpeg(8000, 8000),
    "a progressive JPEG header that lies": lambda: lying_jpeg(8000, 8000, progressive=True),
    "a JPEG of 65500 pixels squared": lambda: lying_jpeg(65_500, 65_500),
    "an EXIF directory without an end": lambda: jpeg_with_exif(2**31),
    "a strip of two billion rows": lambda: tiff(rows=2**31, strip_bytes=0),
    "a strip of 300 MB for 4 kB": lambda: tiff(rows=64, strip_bytes=300_000),
    "a strip that says 4 GB": lambda: tiff(rows=64, strip_bytes=2**32 - 1),
    "a tile of 30000 pixels squared": lambda: tiff(rows=0, strip_bytes=0, tile=30_000),
    "a BMP whose runs leave its rows": lambda: rle_bmp(1000),
    "a WebP of 16000 pixels squared": lambda: lying_webp(16_000),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_takes_no_more_than_its_header_grants(decoder: Decoder, name: str) -> None:
    data, before = BOMBS[name](), peak_bytes(decoder.pid)
    granted = memory_of(data, read_header(data))
    try:
        decoder.decode(data, granted)
    except Permanent as error:
        assert error.reason in REFUSALS  # noqa: PT017 - some are decoded, and that is well
    assert peak_bytes(decoder.pid) - before < min(granted, 1 << 30) + (32 << 20)
    assert decoder.decode(png(scene()), 1 << 30).pixels.shape == (48, 64, 3)


def test_a_picture_that_wants_more_than_it_was_granted_is_refused(decoder: Decoder) -> None:
    data, before = encoded(grey(6000, 6000), "PNG"), peak_bytes(decoder.pid)
    with pytest.raises(Permanent) as refusal:
        decoder.decode(data, 30 << 20)
    assert refusal.value.reason == "too-much-memory"
    assert peak_bytes(decoder.pid) - before < 70 << 20


def test_a_picture_whose_decoding_does_not_end_is_cut_at_the_deadline() -> None:
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=3)
    data = jpeg_of_scans(20_000)
    began = time.monotonic()
    with pytest.raises(Permanent) as refusal:
        decoders.decode(data, memory_of(data, read_header(data)))
    assert refusal.value.reason == "decode-deadline"
    assert time.monotonic() - began < 60
    assert decoders.decode(png(scene()), 1 << 30).pixels.shape == (48, 64, 3)
    decoders.close()


HALF_A_WORD = """#!{python}
import os, sys, time
for word in (b"{{}}", bytes(2)):
    os.write(int(sys.argv[-3]), word)
time.sleep(600)
"""
CRASHES = """#!{python}
import ctypes, os, sys
from pathlib import Path
from boxyard_worker.signals import ignore_sent_faults
left = Path(__file__).with_name("left")
if not left.read_text():
    os.execv({python!r}, [{python!r}, *sys.argv[1:]])
left.write_text(left.read_text()[1:])
ignore_sent_faults()
os.write(int(sys.argv[-3]), b"{{}}")
os.read(int(sys.argv[-3]), 4096)
ctypes.string_at(0)
"""
A_LONG_START = """#!{python}
import os, sys, time
time.sleep(2.5)
os.execv({python!r}, [{python!r}, *sys.argv[1:]])
"""


@pytest.fixture
def take_over(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[str], None]:
    """Has decoders run another program."""

    def run(program: str) -> None:
        taken_over = tmp_path / "python"
        taken_over.write_text(program.format(python=sys.executable))
        taken_over.chmod(0o700)
        monkeypatch.setattr(sys, "executable", str(taken_over))

    return run


def test_a_file_that_crashes_the_decoder_twice_is_crashed_and_one_crash_is_forgiven(
    take_over: Callable[[str], None], tmp_path: Path
) -> None:
    decoders, left = Decoders(1, max_pixels=64_000_000, deadline_s=60), tmp_path / "left"
    take_over(CRASHES)
    left.write_text("x")
    assert decoders.decode(png(scene()), 1 << 30).pixels.shape == (48, 64, 3)
    decoders.close()
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=60)
    left.write_text("xx")
    with pytest.raises(Permanent, match="status -11") as refusal:
        decoders.decode(png(scene()), 1 << 30)
    assert refusal.value.reason == "crashed"
    assert decoders.decode(png(scene()), 1 << 30).pixels.shape == (48, 64, 3)
    decoders.close()


def test_a_decoder_that_says_half_a_word_keeps_nobody_waiting(
    take_over: Callable[[str], None],
) -> None:
    take_over(HALF_A_WORD)
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=60)
    with pytest.raises(Permanent) as refusal:
        decoders.decode(png(scene()), 1 << 30)
    assert refusal.value.reason == "crashed"
    decoders.close()


def test_a_long_start_of_a_decoder_takes_nothing_of_the_pictures_time(
    take_over: Callable[[str], None],
) -> None:
    take_over(A_LONG_START)
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=2)
    assert decoders.decode(png(scene()), 1 << 30).pixels.shape == (48, 64, 3)
    decoders.close()


CANNOT_START = {
    "exits": ("#!/bin/true\n", "status 0"),
    "hangs": ("#!{python}\nimport time\ntime.sleep(600)\n", "not ready after"),
    "crashes": ("#!{python}\nimport os\nos.abort()\n", "status -6"),
    "misses a library": (
        "#!{python}\nimport runpy, sys\nsys.modules['cv2'] = None\nsys.argv[:4] = ['']\n"
        "runpy.run_module('boxyard_worker.decoder', run_name='__main__')\n",
        "ModuleNotFoundError: import of cv2",
    ),
    "has no memory": (
        "#!{python}\nimport resource, runpy, sys\nsys.argv[:4] = ['']\n"
        "resource.setrlimit(resource.RLIMIT_AS, (1 << 25, 1 << 25))\n"
        "runpy.run_module('boxyard_worker.decoder', run_name='__main__')\n",
        ": ",
    ),
}


@pytest.mark.parametrize("fault", CANNOT_START)
def test_where_no_decoder_starts_the_worker_is_broken_and_no_picture_is_blamed(
    take_over: Callable[[str], None], monkeypatch: pytest.MonkeyPatch, fault: str
) -> None:
    program, cause = CANNOT_START[fault]
    monkeypatch.setattr("boxyard_worker.detect.decoder_process._START_S", 1.0)
    monkeypatch.setattr("boxyard_worker.detect.decoders._UNSTARTABLE_S", 0.1)
    monkeypatch.setattr("boxyard_worker.detect.decoders._PAUSES_S", (0.05, 0.05))
    take_over(program)
    told: list[SetupError] = []
    decoders = Decoders(1, max_pixels=64_000_000, deadline_s=60, on_broken=told.append)
    with pytest.raises(SetupError, match=cause):
        decoders.start()
    with pytest.raises(Unavailable, match="can be started"):
        decoders.decode(png(scene()), 1 << 30)
    assert [cause in broken.detail for broken in told] == [True]
    decoders.close()


def test_a_decoder_that_cannot_be_started_leaves_no_open_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    monkeypatch.setattr("boxyard_worker.detect.decoders._PAUSES_S", (0.05, 0.05))
    decoders, before = Decoders(1, max_pixels=64_000_000, deadline_s=20), open_files()
    with pytest.raises(SetupError, match="can be started: No such file"):
        decoders.start()
    assert open_files() <= before, "one that an earlier test left may be closed meanwhile"


def test_the_decoder_sees_none_of_the_workers_secrets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BOXYARD_S3_SECRET_ACCESS_KEY", "a secret")
    child = Decoder(64_000_000, deadline_s=60)
    child.decode(png(scene()), 1 << 30)
    assert "SECRET" not in Path(f"/proc/{child.pid}/environ").read_text()
    child.end()


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2), (70, 5), (301, 999)])
def test_the_header_says_what_the_picture_is(form: str, size: tuple[int, int]) -> None:
    for mode in ("L", "RGB"):
        data = encoded(Image.new(mode, size), form)
        assert read_header(data) == Header(form, *size, 1)


@pytest.mark.parametrize("form", ["WEBP", "PNG", "TIFF"])
def test_the_header_counts_the_frames(form: str) -> None:
    pages = [Image.effect_noise((20, 10), spread) for spread in (10, 60, 90)]
    data = encoded(pages[0], form, save_all=True, append_images=pages[1:])
    assert read_header(data) == Header(form, 20, 10, 3)


@pytest.mark.parametrize("order", ["<", ">"])
def test_large_and_small_directories_of_either_order_are_read(order: str) -> None:
    mark = b"II" if order == "<" else b"MM"
    small = struct.pack(order + "HI", 42, 8) + struct.pack(
        order + "HHHIHHHHIII", 2, 256, 3, 1, 7, 0, 257, 4, 1, 5, 0
    )
    large = struct.pack(order + "HHHQ", 43, 8, 0, 16) + struct.pack(
        order + "QHHQQHHQQQ", 2, 256, 16, 1, 7, 257, 16, 1, 5, 0
    )
    for body in (small, large):
        assert read_header(mark + body) == Header("TIFF", 7, 5, 1)


def test_directories_that_lead_back_are_counted_once() -> None:
    data = io.BytesIO(encoded(grey(8, 8), "TIFF")).getbuffer().tobytes()
    (at,) = struct.unpack_from("<I", data, 4)
    (entries,) = struct.unpack_from("<H", data, at)
    end = at + 2 + 12 * entries
    assert read_header(data[:end] + data[4:8] + data[end + 4 :]).frames == 1


STARTS = [
    *(encoded(grey(40, 30).convert("RGB"), form) for form in ("JPEG", "PNG", "WEBP", "BMP", "TIFF"))
]


@given(st.sampled_from(STARTS), st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255))))
def test_no_header_breaks_the_reader(data: bytes, changes: list[tuple[int, int]]) -> None:
    changed = bytearray(data)
    for at, value in changes:
        changed[at % len(changed)] = value
    try:
        header = read_header(bytes(changed))
    except Permanent as error:
        assert error.reason in ("undecodable-image", "unsupported-format")  # noqa: PT017
        return
    assert header.width > 0
    assert header.height > 0
