"""Device batches keep groups apart, orders intact and nobody waiting for ever."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from boxyard_worker.detector.batching import Batcher


def test_a_full_group_is_due_at_once() -> None:
    batcher: Batcher[int] = Batcher(max_batch=2, max_wait_s=10)
    batcher.put(1, "a", now=0)
    assert batcher.take(now=0) == []
    batcher.put(2, "a", now=1)
    assert batcher.take(now=1) == [1, 2]


def test_a_lone_item_is_due_when_it_has_waited_enough() -> None:
    batcher: Batcher[int] = Batcher(max_batch=8, max_wait_s=0.5)
    batcher.put(1, "a", now=10)
    assert batcher.due_in(now=10.2) == 0.3000000000000007
    assert batcher.take(now=10.4) == []
    assert batcher.take(now=10.5) == [1]
    assert batcher.due_in(now=11) is None


def test_a_busy_group_does_not_starve_a_quiet_one() -> None:
    batcher: Batcher[str] = Batcher(max_batch=2, max_wait_s=1)
    batcher.put("quiet", "b", now=0)
    for n in range(10):
        batcher.put(f"busy {n}", "a", now=0.1)
    assert batcher.take(now=0.5) == ["busy 0", "busy 1"]
    assert batcher.take(now=1) == ["quiet"]


arrivals = st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 0.3)), max_size=60)


@given(arrivals, st.integers(1, 5), st.floats(0, 1))
def test_everything_comes_out_once_in_order_and_in_time(
    items: list[tuple[str, float]], max_batch: int, max_wait_s: float
) -> None:
    batcher: Batcher[tuple[str, int, float]] = Batcher(max_batch, max_wait_s)
    now, out = 0.0, []

    def drain() -> None:
        while batch := batcher.take(now):
            assert len(batch) <= max_batch
            assert len({group for group, *_ in batch}) == 1
            out.extend(batch)

    for number, (group, pause) in enumerate(items):
        now += pause
        drain()
        batcher.put((group, number, now), group, now)
    while (wait := batcher.due_in(now)) is not None:
        assert wait <= max_wait_s + 1e-9
        now += wait + 1e-9
        drain()
    assert sorted(number for _, number, _ in out) == list(range(len(items)))
    for name in "abc":
        numbers = [number for group, number, _ in out if group == name]
        assert numbers == sorted(numbers)
