"""What a request looks for, on its way through a real worker and back."""

from __future__ import annotations

from boxyard_schemas import ImageFailure, ImageSuccess, JobResult, JobState
from pictures import png, scene
from yard import MODEL, Yard

GLIP = "glip_atss_swin-t_a_fpn_dyhead_pretrain_obj365"


def labels(result: JobResult) -> list[tuple[int, str]]:
    (image,) = result.images
    assert isinstance(image, ImageSuccess)
    return [(found.label_id, found.label) for found in image.boxes]


def test_each_job_finds_what_it_asked_for_whatever_its_neighbours_ask(yard: Yard) -> None:
    pixels = scene()
    pixels[30:40, 40:60] = (0, 255, 0)
    data = png(pixels)
    prompts = (None, "green. red", "red", "blue")
    jobs = [
        yard.accept([data], model=GLIP, parameters={"text_prompt": prompt}) for prompt in prompts
    ]
    yard.worker("--model", GLIP, "--max-wait-ms", "500")
    own, both, red, none = map(yard.result, jobs)
    assert labels(own) == [(1, "green"), (0, "red")]
    assert labels(both) == [(0, "green"), (1, "red")]
    assert labels(red) == [(0, "red")]
    assert labels(none) == []


def test_a_prompt_that_says_nothing_to_the_model_fails_its_pictures(yard: Yard) -> None:
    yard.worker("--model", GLIP)
    asked = {"text_prompt": "violet"}
    job = yard.accept([png(scene()), png(scene())], model=GLIP, parameters=asked)
    failures = yard.result(job).images
    assert [each.code for each in failures if isinstance(each, ImageFailure)] == [
        "empty-prompt",
        "empty-prompt",
    ]
    assert yard.status(job).state is JobState.FAILED
    assert labels(yard.result(yard.accept([png(scene())], model=GLIP))) == [(0, "red")]


def test_a_worker_whose_model_takes_no_prompt_says_so(yard: Yard) -> None:
    yard.worker()
    (failure,) = yard.result(
        yard.accept([b"no picture, but that is not looked at"], parameters={"text_prompt": "red"})
    ).images
    assert isinstance(failure, ImageFailure)
    assert failure.code == "prompt-not-taken"
    assert MODEL in failure.detail
