import numpy as np
import pytest

from demo_model.render import CLASSES, LEAST_PIXELS, render


def test_a_seed_always_gives_the_same_picture() -> None:
    first, again = render(7), render(7)
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.owners, again.owners)
    assert first.labels == again.labels


def test_another_seed_gives_another_picture() -> None:
    size = (240, 240)
    assert not np.array_equal(render(7, size).image, render(8, size).image)


@pytest.mark.parametrize("seed", range(12))
def test_a_box_is_the_smallest_around_what_can_be_seen(seed: int) -> None:
    picture = render(seed)
    for index in range(len(picture.labels)):
        left, top, right, bottom = picture.box(index)
        inside = picture.mask(index)[top:bottom, left:right]
        assert inside.sum() == picture.mask(index).sum() >= LEAST_PIXELS
        assert inside[0].any()
        assert inside[-1].any()
        assert inside[:, 0].any()
        assert inside[:, -1].any()


def test_the_truth_knows_every_owner_of_a_pixel() -> None:
    for seed in range(12):
        picture = render(seed)
        assert set(np.unique(picture.owners)) - {0} == set(range(1, len(picture.labels) + 1))


def test_all_classes_turn_up() -> None:
    seen = {label for seed in range(12) for label in render(seed).labels}
    assert seen == set(range(len(CLASSES)))
