"""The operators' tests call them as mmcv does: through `mmcv.ops`, after `install()`."""

import pytest
import torch

import boxyard_ops

torch.set_num_threads(1)
boxyard_ops.install()

WITHOUT_GPU = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")


@pytest.fixture(
    scope="session", params=["cpu", pytest.param("cuda", marks=[pytest.mark.gpu, WITHOUT_GPU])]
)
def device(request: pytest.FixtureRequest) -> str:
    """Where the operators' tensors are."""
    place: str = request.param
    return place
