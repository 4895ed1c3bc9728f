"""The image files of a set, looked at before a job is sent."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from PIL import Image

from boxyard_producer.evaluation import Truth
from boxyard_schemas.errors import InvalidRequest

from .coco_sets import HEIGHT, WIDTH, draw, lay_out


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
def test_an_image_on_its_side_has_the_size_that_the_service_reads(
    tmp_path: Path, form: str
) -> None:
    clean, _ = draw(seed=6)
    file = lay_out(tmp_path, clean)
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.new("RGB", (HEIGHT, WIDTH)).save(tmp_path / "2.png", form, exif=exif)
    assert len(Truth.read(file, tmp_path).pictures) == 4
    Image.new("RGB", (WIDTH, HEIGHT)).save(tmp_path / "2.png", form, exif=exif)
    with pytest.raises(InvalidRequest, match=r"image 2 \(2.png\): 90x120 and not 120x90.*EXIF"):
        Truth.read(file, tmp_path)


@pytest.mark.parametrize("content", [b"", b"no image", b"\x89PNG\r\n\x1a\n", b"GIF89a\x01\0"])
def test_a_file_that_is_no_image_is_refused(tmp_path: Path, content: bytes) -> None:
    clean, _ = draw(seed=6)
    file = lay_out(tmp_path, clean)
    (tmp_path / "2.png").write_bytes(content)
    with pytest.raises(InvalidRequest, match=r"image 2 \(2.png\)"):
        Truth.read(file, tmp_path)


def test_file_names_may_be_whole_paths_into_the_folder(tmp_path: Path) -> None:
    clean, _ = draw(seed=6)
    for each in clean["images"]:
        each["file_name"] = str(tmp_path / each["file_name"])
    assert len(Truth.read(lay_out(tmp_path, clean), tmp_path).pictures) == 4


def test_images_may_be_links_to_elsewhere(tmp_path: Path) -> None:
    clean, _ = draw(seed=6)
    (folder := tmp_path / "links").mkdir()
    file = lay_out(tmp_path, clean)
    for each in clean["images"]:
        os.symlink(tmp_path / each["file_name"], folder / each["file_name"])
    assert len(Truth.read(file, folder).pictures) == 4
