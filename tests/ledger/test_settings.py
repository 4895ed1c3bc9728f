"""What an operator wrote wrong is named, and what may be secret is not repeated."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from pydantic import ValidationError

from boxyard_ledger import LedgerSettings
from boxyard_ledger.settings import Settings, describe_faults
from boxyard_producer.server import ServerSettings

REDIS = "BOXYARD_REDIS_URL: "


@pytest.mark.parametrize(
    ("make", "begins"),
    [
        pytest.param(
            lambda: LedgerSettings(redis_url="http://:pass@here"),
            f"{REDIS}write redis://HOST:PORT/0",
            id="no-redis",
        ),
        pytest.param(
            lambda: LedgerSettings(redis_url="redis://:pass@here:one"), f"{REDIS}Port", id="port"
        ),
        pytest.param(
            lambda: ServerSettings.model_validate({"allowed_networks": "10.0.0.0/8, 10.1.2.3/8"}),
            "BOXYARD_ALLOWED_NETWORKS: 10.1.2.3/8 has host bits set",
            id="network",
        ),
    ],
)
def test_a_setting_that_cannot_work_is_named_without_its_secrets(
    make: Callable[[], Settings], begins: str
) -> None:
    with pytest.raises(ValidationError) as refused:
        make()
    (fault,) = describe_faults(refused.value)
    assert fault.startswith(begins)
    assert "pass" not in fault
