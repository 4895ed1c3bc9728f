from pathlib import Path

import numpy as np
import pytest

from demo_model import train
from demo_model.augment import SIDE, augment
from demo_model.cache import Cache, open_cache
from demo_model.render import bound, render

# Some of mmdet's sources hold escapes that the compiler warns of.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*invalid escape", "ignore:.*torch.cuda.amp", "ignore:torch.meshgrid"
)


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Cache:
    return open_cache(range(train.BATCH), tmp_path_factory.mktemp("cache"))


def test_the_cache_keeps_the_truth_exactly(cache: Cache) -> None:
    picture = render(3)
    image, owners, labels = cache.read(3)
    assert np.array_equal(owners, picture.owners)
    assert tuple(labels) == picture.labels
    assert np.abs(image.astype(int) - picture.image).mean() < 8


def test_an_example_has_a_box_and_a_mask_for_every_label(cache: Cache) -> None:
    for index in range(len(cache)):
        example = augment(np.random.default_rng(index), *cache.read(index))
        assert example.pixels.shape == (SIDE, SIDE, 3)
        assert len(example.boxes) == len(example.labels) == len(example.masks)
        for box, mask in zip(example.boxes, example.masks, strict=True):
            assert tuple(box) == bound(mask > 0)


def test_a_stopped_run_goes_on_as_if_it_had_not_been_stopped(cache: Cache, tmp_path: Path) -> None:
    unbroken = train.Run(tmp_path / "unbroken.pt")
    train.train(unbroken, cache, 2)
    train.train(train.Run(tmp_path / "broken.pt"), cache, 1)
    resumed = train.Run(tmp_path / "broken.pt")
    assert resumed.step == 1
    train.train(resumed, cache, 2)
    for one, other in zip(unbroken.average.parameters(), resumed.average.parameters(), strict=True):
        assert np.allclose(one.detach(), other.detach(), atol=1e-4)
