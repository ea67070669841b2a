import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.reference import (
    Reference,
    count_into,
    decode_reference,
    encode_reference,
    make_category_histogram,
    make_histogram,
)

values = st.lists(st.one_of(st.just(float("nan")), st.floats(allow_nan=False)), max_size=200)


@given(values)
def test_every_value_is_counted_once(given_values: list[float]) -> None:
    column = np.array(given_values, dtype=np.float64)
    histogram = make_histogram(column, np.ones(len(column)))
    assert histogram.missing == np.isnan(column).sum()
    assert sum(histogram.counts) + histogram.missing == len(column)
    assert list(histogram.edges) == sorted(set(histogram.edges))


def test_bins_hold_about_the_same_number_of_values() -> None:
    histogram = make_histogram(np.random.default_rng(0).lognormal(size=2000), np.ones(2000))
    assert len(histogram.counts) == 20
    assert min(histogram.counts) == max(histogram.counts) == 100


def test_a_feature_of_few_values_has_a_bin_for_each() -> None:
    histogram = make_histogram(np.repeat([0.0, 1.0, 5.0], [70, 20, 10]), np.ones(100))
    assert histogram.edges == (0.0, 1.0)
    assert histogram.counts == (70.0, 20.0, 10.0)


def test_categories_have_a_bin_for_the_unknown_and_each_of_the_most_frequent() -> None:
    codes = np.array([0.0] * 2 + [1.0] * 5 + [2.0] * 3 + [np.nan])
    few = make_category_histogram(codes, np.ones(len(codes)), 2)
    assert (list(few.edges), list(few.counts), few.missing) == ([0, 1], [2, 5, 3], 1)
    many = make_category_histogram(np.arange(101.0), np.ones(101), 100)
    assert list(many.counts) == [1.0] * 19 + [82.0]
    none = make_category_histogram(np.array([0.0, np.nan]), np.ones(2), 0)
    assert (list(none.edges), list(none.counts), none.missing) == ([], [1], 1)


def test_a_feature_that_is_always_missing_has_one_empty_bin() -> None:
    histogram = make_histogram(np.full(4, np.nan), np.ones(4))
    assert (histogram.edges, histogram.counts, histogram.missing) == ((), (0.0,), 4.0)


def test_a_value_on_an_edge_belongs_to_the_bin_below_it_and_live_values_may_lie_beyond() -> None:
    histogram = count_into((1.0, 2.0), np.array([-9.0, 1.0, 1.5, 2.0, 99.0, np.nan]), np.ones(6))
    assert histogram.counts == (2.0, 2.0, 1.0)
    assert histogram.missing == 1.0


def test_weights_are_counted_and_not_events() -> None:
    histogram = count_into((1.0,), np.array([0.0, 2.0, np.nan]), np.array([2.0, 0.5, 3.0]))
    assert (histogram.counts, histogram.missing) == ((2.0, 0.5), 3.0)


def test_a_reference_survives_its_file() -> None:
    histogram = make_histogram(np.array([0.1, 0.2, np.nan]), np.ones(3))
    reference = Reference({"a": histogram}, {"score": histogram})
    assert decode_reference(encode_reference(reference)) == reference


@pytest.mark.parametrize(
    "data", [b"", b"{}", b'{"features": {"a": {"edges": [], "counts": [], "missing": 0}}, "scores": {}}']
)
def test_anything_else_is_no_reference(data: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        decode_reference(data)
