"""Decisions, the control share, and draws by id."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Column, Floats
from features.event import hash_ids
from stream.pipeline.decide import Decisions, decide
from stream.pipeline.sampling import Draw, drawn
from tests.stream.definitions import classes, clock

IDS = [f"order-{i}" for i in range(5000)]
HASHES = hash_ids(IDS)


def _decide(scores: Floats) -> Decisions:
    price: Column = np.zeros(len(scores))
    return decide(clock(), {"price": price}, scores, HASHES[: len(scores)])


def test_the_first_case_that_holds_decides_and_the_last_catches_the_rest() -> None:
    decisions = _decide(np.array([0.95, 0.6, 0.1]))
    where_not = ~decisions.control
    assert decisions.index[where_not].tolist() == np.array([0, 1, 2])[where_not].tolist()


def test_the_control_share_is_let_through_and_marked_and_is_no_alert() -> None:
    decisions = _decide(np.full(5000, 0.95))
    control = drawn(HASHES, 0.1, Draw.CONTROL)
    assert decisions.control.tolist() == control.tolist()
    assert decisions.index.tolist() == np.where(control, 2, 0).tolist()
    assert decisions.alerts.tolist() == (~control).tolist()
    assert 400 < control.sum() < 600


def test_what_is_let_through_anyway_is_no_control() -> None:
    decisions = _decide(np.full(5000, 0.1))
    assert not decisions.control.any()
    assert not decisions.alerts.any()


def test_a_class_decides_by_its_probability() -> None:
    scores = np.array([[0.2, 0.7, 0.1], [0.5, 0.2, 0.3]])
    decisions = decide(classes(), {}, scores, HASHES[:2])
    assert decisions.index.tolist() == [0, 1]


@pytest.mark.parametrize("draw", Draw)
def test_a_share_of_all_or_none_is_all_or_none(draw: Draw) -> None:
    assert drawn(HASHES, 1.0, draw).all()
    assert not drawn(HASHES, 0.0, draw).any()
    extremes = np.array([0, 2**64 - 1, draw.value], np.uint64)
    assert drawn(extremes, 1.0, draw).all()
    assert not drawn(extremes, 0.0, draw).any()


def test_draws_for_different_purposes_do_not_depend_on_each_other() -> None:
    control, features = drawn(HASHES, 0.5, Draw.CONTROL), drawn(HASHES, 0.5, Draw.FEATURES)
    assert 0.45 < (control == features).mean() < 0.55


@given(st.lists(st.text(max_size=5), min_size=1, max_size=20), st.floats(0, 1), st.floats(0, 1))
def test_who_is_drawn_for_a_share_is_drawn_for_every_larger_one(ids: list[str], a: float, b: float) -> None:
    hashes = hash_ids(ids)
    smaller, larger = (drawn(hashes, share, Draw.CONTROL) for share in sorted((a, b)))
    assert not (smaller & ~larger).any()


def test_a_draw_is_the_same_for_good() -> None:
    """A released share must not change its members: others have joined on them."""
    assert np.flatnonzero(drawn(HASHES[:60], 0.1, Draw.CONTROL)).tolist() == [2, 21, 26, 28, 40, 50, 58]
