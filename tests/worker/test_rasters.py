"""A mask that goes out as rings comes back whole from the rasteriser that its form is for."""

from __future__ import annotations

import pytest

from same_numbers.rasters import SHRUNK, measure


@pytest.mark.parametrize("factor", SHRUNK)
@pytest.mark.parametrize(
    ("form", "rasteriser"), [("polygon", "`cv2.fillPoly`"), ("outline", "pycocotools")]
)
def test_the_demo_pictures_masks_keep_98_percent_and_more(
    form: str, rasteriser: str, factor: int
) -> None:
    shares = measure(form, rasteriser, factor)
    assert len(shares) == 69
    assert shares.min() >= (1 if form == "outline" else 0.98)
