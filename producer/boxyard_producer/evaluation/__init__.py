"""Average precision as COCO defines it, of a model as the service runs it.

A COCO annotation file and its pictures come in; the pictures go through the queue like any others,
and pycocotools judges what comes back. Needs the extra `evaluate`.
"""

from .findings import Findings, Found
from .images import Picture
from .judgement import FIGURES, Evaluation, Figures, judge
from .passage import Passage
from .truth import Truth

__all__ = [
    "FIGURES",
    "Evaluation",
    "Figures",
    "Findings",
    "Found",
    "Passage",
    "Picture",
    "Truth",
    "judge",
]
