"""Entries that cannot answer, each for a reason that is not Boxyard's."""

from __future__ import annotations

from typing import Final

EXCUSES: Final = {
    "cascade-rpn_fast-rcnn_r50-caffe_fpn_1x_coco": (
        "Fast R-CNN has no proposals of its own: it takes them from a file that another model made"
        " for the very pictures of its test data."
    ),
}
