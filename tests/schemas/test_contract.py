"""What is committed for other languages is what the code says."""

from __future__ import annotations

import json
import runpy
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

GENERATOR = Path(__file__).parents[2] / "schemas" / "generate.py"
GENERATED = GENERATOR.parent / "generated"
GOLDEN = Path(__file__).parent / "golden"

generator = runpy.run_path(str(GENERATOR))
WORDS: dict[str, type[BaseModel]] = {word.__name__: word for word in generator["PUBLIC"]}
EXAMPLES = sorted(path.stem for path in GOLDEN.iterdir())


def example(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def test_the_committed_contract_is_what_the_code_says_today() -> None:
    committed = {path.name: path.read_text() for path in GENERATED.iterdir()}
    written: dict[str, str] = generator["generate"]()
    assert committed.keys() == written.keys(), "run `make contract`"
    for name, text in written.items():
        assert json.loads(committed[name]) == json.loads(text), f"{name}: run `make contract`"
        assert committed[name] == text, f"{name}: run `make contract`"


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_comes_back_from_its_word_as_it_was_written(name: str) -> None:
    written = example(name)
    word = WORDS[name].model_validate_json(json.dumps(written))
    assert json.loads(word.model_dump_json()) == written


@pytest.mark.parametrize("name", EXAMPLES)
def test_an_example_fits_the_json_schema_that_others_read(name: str) -> None:
    schema = json.loads((GENERATED / f"{name}.json").read_text())
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.Draft202012Validator(schema).validate(example(name))


def test_every_operation_documents_its_problems_as_problem_documents() -> None:
    contract = json.loads((GENERATED / "openapi.json").read_text())
    operations = {
        f"{method} {path}": operation
        for path, methods in contract["paths"].items()
        for method, operation in methods.items()
    }
    assert len(operations) == 29
    for name, operation in operations.items():
        problems = {
            status: answer for status, answer in operation["responses"].items() if status >= "400"
        }
        assert all(
            list(each["content"]) == ["application/problem+json"] for each in problems.values()
        )
        assert name in ("get /healthz", "get /readyz") or {"401", "503"} <= problems.keys(), name
