"""What a worker writes of itself is what every reader can read."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from boxyard_ledger import WorkerRecord
from boxyard_schemas.errors import SetupError
from boxyard_schemas.words import utc_now
from boxyard_worker.detect.worker import _register

RECORD = WorkerRecord(id="w", model="m", host="h", device="cpu", warm=False, started_at=utc_now())


@pytest.mark.parametrize("classes", [(0, 1, 2, 3), ("a", None), (b"\xff",), 7, ("a", ["b"])])
def test_a_model_whose_classes_are_no_texts_is_not_registered(classes: Any) -> None:
    description = cast("Any", SimpleNamespace(classes=classes))
    with pytest.raises(SetupError, match="cannot be registered: classes"):
        _register(RECORD, description)


def test_a_model_that_describes_itself_by_texts_is_registered_warm() -> None:
    registered = _register(RECORD, cast("Any", SimpleNamespace(classes=("a", "ä"))))
    assert registered.warm
    assert WorkerRecord.model_validate_json(registered.model_dump_json()) == registered
