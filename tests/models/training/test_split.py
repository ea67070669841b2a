import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from models.training.split import group_test_mask, time_split


def test_a_group_is_held_out_as_a_whole_or_not_at_all() -> None:
    keys = [f"g{i % 50}" for i in range(500)]
    mask = group_test_mask(keys, 0.3)
    assert len({(key, bool(held)) for key, held in zip(keys, mask, strict=True)}) == 50
    assert 0.1 < mask.mean() < 0.5


@given(st.lists(st.text(max_size=5), max_size=30), st.lists(st.text(max_size=5), max_size=30))
def test_a_groups_side_does_not_depend_on_the_others(some: list[str], more: list[str]) -> None:
    alone, together = group_test_mask(some, 0.4), group_test_mask(more + some, 0.4)
    assert alone.tolist() == together[len(more) :].tolist()


def test_the_share_has_no_rounding_at_its_ends() -> None:
    keys = [str(i) for i in range(1000)]
    assert not group_test_mask(keys, 0.0).any()
    assert group_test_mask(keys, 1.0).all()
    assert abs(group_test_mask(keys, 0.25).mean() - 0.25) < 0.05


def test_events_without_a_key_are_trained_on() -> None:
    assert group_test_mask([None, None], 1.0).tolist() == [False, False]


def test_the_end_of_the_time_is_held_out_after_the_gap() -> None:
    train, test = time_split(np.arange(0, 120, 10), 10, 110, gap=20)
    assert np.flatnonzero(test).tolist() == [9, 10]
    assert np.flatnonzero(train).tolist() == [1, 2, 3, 4, 5, 6]
