from __future__ import annotations

from boxyard_schemas.catalogue import catalogue


def test_the_base_distribution_brings_the_catalogue() -> None:
    assert catalogue()["rtmdet-ins_tiny_8xb32-300e_coco"].family == "RTMDet"
