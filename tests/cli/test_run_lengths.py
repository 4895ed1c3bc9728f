"""COCO's compressed run lengths, read without pycocotools' C code."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from pycocotools import mask as rle

from boxyard_producer.evaluation.masks import decode_runs, encode
from boxyard_producer.evaluation.remarks import Malformed


@given(st.lists(st.integers(0, 60), min_size=1, max_size=40))
def test_run_lengths_are_read_as_pycocotools_writes_them(runs: list[int]) -> None:
    if not sum(runs):
        runs = [1]
    size = [sum(runs), 1]
    written = rle.frPyObjects({"size": size, "counts": runs}, *size)["counts"].decode()
    assert decode_runs(written).tolist() == runs
    pixels = np.repeat(np.arange(len(runs)) % 2, runs)
    again = encode(decode_runs(written), width=1, height=size[0])
    assert rle.decode(again)[:, 0].tolist() == pixels.tolist()


@given(st.text(alphabet=[chr(code) for code in range(47, 113)], max_size=12))
def test_any_text_is_run_lengths_of_the_whole_image_or_refused(text: str) -> None:
    try:
        mask = encode(decode_runs(text), width=9, height=7)
    except Malformed:
        return
    assert rle.decode(mask).shape == (7, 9)
