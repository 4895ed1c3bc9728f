"""However a picture is written, `/score` answers what mmdet finds in it once it is read rightly.

The reference is mmdet's `DetInferencer` on the pixels as Pillow reads them: upright, in three
colours, BGR as the pipeline wants it. (The cards' own wrapper hands RGB to that pipeline and knows
no orientation.)
"""

from __future__ import annotations

import io
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image, ImageOps

from boxyard_worker.detector import mmdetection
from boxyard_worker.detector.catalogue import find_model
from boxyard_worker.detector.configuration import read_config
from boxyard_worker.detector.contract import Pixels
from boxyard_worker.detector.data_sets import class_names
from pictures import encoded
from same_numbers.models import start_inferencer
from server_process import ServerProcess
from sweeps import Sample
from yard import MODEL, Yard

SHELF = Path(__file__).parents[2] / "examples" / "images" / "shelf-0013.jpg"
KEY = "key-of-the-pictures-tests"
_ROUNDED = {"CMYK JPEG"}
"""Converted with another rounding here and there: a level of 255 apart."""


def shelf() -> Image.Image:
    return Image.open(SHELF).convert("RGB")


def pictures() -> Iterator[tuple[str, bytes]]:
    """Files in every orientation and mode, by what they are."""
    for orientation in range(1, 9):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield f"orientation {orientation}", encoded(shelf(), "JPEG", quality=95, exif=exif)
    for form, modes in {
        "JPEG": ("L",),
        "PNG": ("L", "LA", "RGBA", "P", "1"),
        "WEBP": ("RGBA",),
        "BMP": ("P",),
        "TIFF": ("L", "RGBA", "CMYK"),
    }.items():
        for mode in modes:
            yield f"{mode} {form}", encoded(shelf().convert(mode), form)
    yield "CMYK JPEG", encoded(shelf().convert("CMYK"), "JPEG", quality=95)
    clear = shelf().convert("RGBA")
    clear.putalpha(Image.linear_gradient("L").resize(clear.size))
    yield "half clear PNG", encoded(clear, "PNG")
    palette = shelf().convert("P")
    yield "clear palette PNG", encoded(palette, "PNG", transparency=palette.getpixel((0, 0)))
    for extension in (".png", ".tiff"):
        for channels, name in ((1, "grey"), (3, "colours")):
            deep = np.asarray(shelf())[..., ::-1][..., :channels].astype(np.uint16) * 257
            yield f"16 bits {name} {extension}", cv2.imencode(extension, deep)[1].tobytes()


def read(name: str, data: bytes) -> Pixels:
    """The picture's pixels, BGR, read by another library than the worker's."""
    if name.startswith("16 bits"):
        grey_or_red = np.asarray(shelf()) if "colours" in name else np.asarray(shelf())[..., 2:]
        return np.ascontiguousarray(
            np.broadcast_to(grey_or_red, (*shelf().size[::-1], 3))[..., ::-1]
        )
    upright = ImageOps.exif_transpose(Image.open(io.BytesIO(data)))
    return np.ascontiguousarray(np.asarray(upright.convert("RGB"))[..., ::-1])


@pytest.fixture(scope="module")
def reference() -> Any:
    """mmdet's own inferencer on the demo model's packaged weights."""
    mmdetection.init_default_scope("mmdet")
    torch.set_num_threads(1)
    files = find_model(MODEL)
    assert files.weights is not None
    return start_inferencer(files.config, files.weights)


def find(reference: Any, pixels: Pixels) -> list[dict[str, Any]]:
    """What the cards' rules make of mmdet's answer, best first."""
    from mmdet.structures.mask import bitmap_to_polygon

    (sample,) = reference(pixels, return_datasamples=True)["predictions"]
    found = sample.pred_instances.numpy()
    height, width = pixels.shape[:2]
    names = class_names(read_config(find_model(MODEL).config))
    answer = []
    for place in np.argsort(-found.scores, kind="stable"):
        segments = [each for each in bitmap_to_polygon(found.masks[place])[0] if each.size >= 6]
        if segments:
            corners = np.clip(found.bboxes[place] / [width, height, width, height], 0, 1)
            answer.append(
                {
                    "label": names[found.labels[place]],
                    "score": float(found.scores[place]),
                    "corners": corners,
                    "segments": segments,
                }
            )
    return answer


def draw(segments: list[NDArray[Any]], size: tuple[int, int]) -> Pixels:
    canvas = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(canvas, [np.rint(each).astype(np.int32) for each in segments], 1)
    return canvas


def check(boxes: list[dict[str, Any]], pixels: Pixels, expected: list[dict[str, Any]]) -> None:
    height, width = pixels.shape[:2]
    assert [box["label"] for box in boxes] == [each["label"] for each in expected]
    for box, each in zip(boxes, expected, strict=True):
        assert box["score"] == pytest.approx(each["score"], abs=1e-4)
        np.testing.assert_allclose(list(box["box"].values()), each["corners"], atol=1e-4)
        rings = [np.array(ring).reshape(-1, 2) * [width, height] for ring in box["polygon"]]
        assert len(rings) == len(each["segments"])
        drawn = (draw(segments, (width, height)) for segments in (rings, each["segments"]))
        np.testing.assert_array_equal(*drawn)


@pytest.mark.sweep
@pytest.mark.timeout(600)  # it computes all the time, and machines differ
def test_score_gives_the_cards_answer_for_the_picture_as_it_should_be_read(
    yard: Yard,
    reference: Any,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    sample: Sample,
) -> None:
    # As many threads as here: sums that are split otherwise end in other last bits.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    files = dict(sample.of(list(pictures()), 8))
    yard.worker("--max-batch", "1", detector="mmdetection")
    settings = {"api_key": KEY, "webhook_secret": "whsec_YQ==", "score_deadline_s": 600}
    server = ServerProcess(tmp_path, yard.settings, **settings)
    rows = [b64encode(data).decode() for data in files.values()]
    try:
        with server.client(KEY) as client:
            client.timeout = 600
            frame = {"columns": ["image"], "index": list(range(len(rows))), "data": rows}
            answer = client.post("/score", json={"input_data": frame})
    finally:
        server.close()
    assert answer.status_code == 200, answer.text[:2000]
    sure = 0
    for (name, data), image in zip(files.items(), answer.json(), strict=True):
        pixels = read(name, data)
        expected = find(reference, pixels)
        if name in _ROUNDED:
            scores = [box["score"] for box in image["boxes"] if box["score"] > 0.5]
            assert scores == pytest.approx(
                [e["score"] for e in expected if e["score"] > 0.5], abs=0.05
            )
        else:
            check(image["boxes"], pixels, expected)
        sure += sum(box["score"] > 0.5 for box in image["boxes"])
    assert sure > len(files), "the model must find something for this to mean anything"
