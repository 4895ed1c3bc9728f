from __future__ import annotations

import base64
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from boxyard_ledger import Ledger
from boxyard_schemas import DEMO_MODEL

from .conftest import SEEN, Worker
from .test_jobs import problem, submit

GLIP = "glip_atss_swin-t_a_fpn_dyhead_pretrain_obj365"
ROW = base64.b64encode(b"\xff\xd8\xff some picture").decode()


@pytest.fixture
def worker(ledger: Ledger) -> Worker:
    return Worker(ledger, GLIP)


def scored(api: httpx.Client, worker: Worker, params: dict[str, object], model: str = GLIP) -> Any:
    """The parameters that the worker reads when a card's caller asks."""
    body = {"input_data": {"columns": ["image"], "data": [ROW]}, "params": params}
    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(api.post, f"/score?model={model}", json=body)
        claim = worker.claim()
        worker.finish(claim, SEEN)
        assert answer.result().status_code == 200, answer.result().text
    return claim.job.parameters


def test_a_prompt_reaches_the_worker_as_it_was_written(api: httpx.Client, worker: Worker) -> None:
    said = {"text_prompt": "the cat's toy. Dog", "custom_entities": False}
    assert submit(api, model=GLIP, parameters=said).status_code == 202
    read = worker.claim().job.parameters
    assert (read.text_prompt, read.custom_entities) == ("the cat's toy. Dog", False)


def test_a_prompt_is_a_list_of_things_unless_it_is_said_to_be_a_sentence(
    api: httpx.Client, worker: Worker
) -> None:
    submit(api, model=GLIP, parameters={"text_prompt": "cat. dog"})
    assert worker.claim().job.parameters.custom_entities


def test_a_model_with_classes_of_its_own_takes_no_prompt(api: httpx.Client, ledger: Ledger) -> None:
    refused = problem(submit(api, parameters={"text_prompt": "cat"}), 422, "invalid-request")
    assert refused["errors"] == [
        {
            "where": "parameters.text_prompt",
            "what": f"{DEMO_MODEL} finds its own classes only;"
            " GLIP and Grounding DINO models take a prompt",
        }
    ]
    assert ledger.jobs.ready(DEMO_MODEL) == 0


def test_a_model_beyond_the_catalogue_is_left_to_its_worker(
    api: httpx.Client, ledger: Ledger
) -> None:
    Worker(ledger, "our-own").appear()
    accepted = submit(api, model="our-own", parameters={"text_prompt": "cat"})
    assert accepted.status_code == 202


@pytest.mark.parametrize(
    "prompt",
    ["", "  ", ". . .", "cat\ndog", "cat\u0085dog", "c" * 2001, 7],
    ids=["empty", "blank", "only-stops", "two-lines", "next-line", "too-long", "a-number"],
)
def test_a_prompt_that_says_nothing_or_too_much_is_refused(
    api: httpx.Client, prompt: object
) -> None:
    answer = submit(api, model=GLIP, parameters={"text_prompt": prompt})
    refused = problem(answer, 422, "invalid-request")
    assert [each["where"] for each in refused["errors"]] == ["parameters.text_prompt"]  # type: ignore[attr-defined]


def test_the_cards_params_are_the_prompt(api: httpx.Client, worker: Worker) -> None:
    worker.appear()
    params: dict[str, object] = {"text_prompt": "cat. dog", "custom_entities": True}
    read = scored(api, worker, params)
    assert (read.text_prompt, read.custom_entities) == ("cat. dog", True)
    assert scored(api, worker, {"text_prompt": None}).text_prompt is None


def test_a_model_with_classes_of_its_own_does_not_heed_the_cards_params(
    api: httpx.Client, ledger: Ledger
) -> None:
    worker = Worker(ledger, DEMO_MODEL)
    worker.appear()
    params: dict[str, object] = {"text_prompt": "sample string", "custom_entities": True}
    assert scored(api, worker, params, DEMO_MODEL).text_prompt is None
