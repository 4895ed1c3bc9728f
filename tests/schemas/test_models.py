from __future__ import annotations

import pytest

from boxyard_schemas import DEMO_MODEL, aliases_of, detect_queue, resolve_model
from boxyard_schemas import errors as tree
from boxyard_schemas.catalogue import catalogue
from boxyard_schemas.errors import BoxyardError, Problem, UnknownModel

SPARSE = "sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco"
DETR = "deformable-detr-refine-twostage_r50_16xb2-50e_coco"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("mmd-3x-sparse-rcnn_r50_fpn_300-proposals_crop-ms-480-800-3x_coco", SPARSE),
        ("sparse_rcnn_r50_fpn_300_proposals_crop_mstrain_480-800_3x_coco", SPARSE),
        ("mmd-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco", DETR),
        ("mmdet-3x-deformable-detr_refine_twostage_r50_16xb2-50e_coco", DETR),
        ("deformable_detr_twostage_refine_r50_16x2_50e_coco", DETR),
        ("mmd-3x-rtmdet-ins_x_8xb16-300e_coco", "rtmdet-ins_x_8xb16-300e_coco"),
        (DEMO_MODEL, DEMO_MODEL),
    ],
)
def test_the_cards_names_lead_to_mmdets(written: str, meant: str) -> None:
    assert resolve_model(written) == meant


def test_every_alias_that_a_model_shows_leads_back_to_it() -> None:
    for name in catalogue():
        assert {resolve_model(alias) for alias in aliases_of(name)} == {name}


def test_a_model_beyond_the_known_ones_is_known_while_it_is_served() -> None:
    assert resolve_model("mmd-3x-my-own", served=["my-own"]) == "my-own"
    with pytest.raises(UnknownModel):
        resolve_model("my-own")


def test_an_unknown_name_comes_with_near_ones() -> None:
    with pytest.raises(UnknownModel, match="Did you mean") as unknown:
        resolve_model("rtmdet-ins_tiny")
    assert "rtmdet-ins_tiny_8xb32-300e_coco" in unknown.value.data["suggestions"]


def test_a_queue_is_named_after_its_model() -> None:
    assert detect_queue(DEMO_MODEL) == f"detect.{DEMO_MODEL}"


def _tree(kind: type[BoxyardError]) -> list[type[BoxyardError]]:
    return [kind, *(grown for child in kind.__subclasses__() for grown in _tree(child))]


@pytest.mark.parametrize(
    "kind", [each for each in _tree(BoxyardError) if each.__module__ == tree.__name__]
)
def test_every_error_stands_in_the_drawn_tree_with_its_status_and_code(
    kind: type[BoxyardError],
) -> None:
    (line,) = (
        drawn
        for drawn in (tree.__doc__ or "").splitlines()
        if kind.__name__ in drawn.split() or drawn.strip("│├└─ ").split(" ")[0] == kind.__name__
    )
    if len(words := line.strip("│├└─ ").split()) > 2 and words[1].isdigit():
        assert (kind.status, kind.code) == (int(words[1]), words[2])


def test_an_errors_facts_become_members_of_its_problem() -> None:
    problem = UnknownModel("No such model.", suggestions=["a"]).problem("/v1/jobs")
    assert problem.model_dump() == {
        "type": "about:blank",
        "title": "Unknown model",
        "status": 404,
        "code": "unknown-model",
        "detail": "No such model.",
        "instance": "/v1/jobs",
        "suggestions": ["a"],
    }
    assert Problem.model_validate_json(problem.model_dump_json()) == problem
