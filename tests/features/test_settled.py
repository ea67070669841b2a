"""History in which nothing is in doubt takes a shorter way, to the same values."""

from random import Random

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats
from features.definition.model import Definition, RowKind
from features.matrix import FeaturePlan
from features.past.history import History, history_from_table
from features.past.offline import settled_windows
from features.rows import RowId, history_rows
from features.windows.settled import sorted_by_row
from tests.features.visit_tables import DEFINITIONS, TIME, table_of, timely, visit, visits


def in_full(definition: Definition, history: History) -> Floats:
    """The ordinary way."""
    labelled = {row.entity for row in definition.rows if row.kind is RowKind.LABELS}
    labels = {name: history.label_entries(name) for name in labelled}
    rows = history_rows(definition, history.events, labels)
    return FeaturePlan(definition).matrix(history.events, rows)


@given(
    file=timely(),
    name=st.sampled_from(sorted(DEFINITIONS)),
    share=st.integers(1, 3),
    draw=st.randoms(use_true_random=False),
)
def test_the_shorter_way_gives_the_same_values_to_the_bit(
    file: pa.Table, name: str, share: int, draw: Random
) -> None:
    definition, history = DEFINITIONS[name], history_from_table(DEFINITIONS[name], file)
    asked = [*range(0, len(history), share), *draw.choices(range(len(history)), k=2)]
    if draw.random() < 0.5:
        draw.shuffle(asked)
    index = np.array(asked)
    found = settled_windows(definition, history.events, history.labels, history.observed_at, index)
    plan = FeaturePlan(definition)
    whole = in_full(definition, history)[index]
    for (entity, kind), evaluated in found.items():
        windows = [w.name for w in definition.windows if (w.entity, w.kind) == (entity, kind)]
        places = [plan.names.index(window) for window in windows]
        np.testing.assert_array_equal(evaluated.values, whole[:, places])


def settled(definition: Definition, file: pa.Table) -> set[RowId]:
    """The rows of a file in which nothing is in doubt."""
    history = history_from_table(definition, file)
    index = np.arange(len(history))
    return set(settled_windows(definition, history.events, history.labels, history.observed_at, index))


TIMELY = [visit(number, 500 * number) for number in range(8)]
EVERY_ROW = {("who", RowKind.EVENTS), ("place", RowKind.EVENTS), ("place", RowKind.LABELS)}


def test_rows_of_timely_history_are_settled() -> None:
    assert settled(visits(TIME), table_of(TIMELY)) == EVERY_ROW


def test_a_label_that_comes_late_leaves_labels_in_doubt() -> None:
    late = [*TIMELY, visit(9, 5000, late=4500)]
    assert settled(visits(TIME), table_of(late)) == EVERY_ROW - {("place", RowKind.LABELS)}


def test_an_id_that_repeats_leaves_everything_in_doubt() -> None:
    assert settled(visits(TIME), table_of([*TIMELY, TIMELY[0]])) == set()


def test_a_row_longer_than_is_exact_is_in_doubt_where_a_window_reaches_beyond() -> None:
    definition = visits(TIME, exact=3, resolution=500)
    one_place = [visit(number, 500 * number, who=f"w{number}") for number in range(8)]
    assert settled(definition, table_of(one_place)) == {("who", RowKind.EVENTS)}
    far_apart = [visit(number, 60_000 * number) for number in range(8)]
    assert settled(definition, table_of(far_apart)) == EVERY_ROW


@pytest.mark.parametrize("rows", [1, 1 << 16, 1 << 17, 1 << 33])
def test_rows_are_sorted_stably_however_many_there_are(rows: int) -> None:
    row = np.random.default_rng(0).integers(-1, rows, 5_000)
    np.testing.assert_array_equal(sorted_by_row(row), np.argsort(row, kind="stable"))
