"""A training set built slice by slice is the one built of the whole, to the bit."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.arrays import Floats
from features.definition.model import Definition, DerivedLabel
from features.past.build import SetBuilder, fields_read
from features.past.columns import EventColumns, read_columns
from features.past.history import history_from_table, history_positions
from features.past.labels import derived_in_order
from features.past.offline import build_training_set, event_labels
from features.past.order import NEVER, Extent, Slice, in_time_order, ranked, waiting_rows
from features.past.table import TableReader, strings
from tests.features.visit_tables import DEFINITIONS, PLAIN, groups, table_of, visit, visits


class Groups:
    """Row groups as `Batches`."""

    def __init__(self, definition: Definition, tables: Sequence[pa.Table]) -> None:
        self._definition, self._tables = definition, tables

    @property
    def extents(self) -> list[Extent]:
        times = [self._read(table).times for table in self._tables]
        return [Extent(len(one), int(one.min(initial=NEVER)), int(one.max(initial=0))) for one in times]

    def read(self, number: int) -> Slice:
        before = sum(table.num_rows for table in self._tables[:number])
        events = self._read(self._tables[number])
        return Slice(events, history_positions(before, len(events)))

    def _read(self, table: pa.Table) -> EventColumns:
        return read_columns(
            self._definition, TableReader(self._definition, table), fields_read(self._definition)
        )[0]


def slices_of(
    definition: Definition, groups: Sequence[pa.Table], rows_min: int, rows_max: int
) -> list[Slice]:
    return list(ranked(in_time_order(Groups(definition, groups), rows_min, rows_max)))


def built_in_slices(
    definition: Definition, groups: Sequence[pa.Table], start: int, end: int, rows_min: int, rows_max: int
) -> tuple[list[str | None], Floats, Floats]:
    builder = SetBuilder(definition, start, end)
    slices = slices_of(definition, groups, rows_min, rows_max)
    built = [one for part in slices for one in builder.add(part)]
    return (
        [text for one in built for text in strings(one.events.ids)],
        np.concatenate([np.empty((0, len(definition.feature_names))), *(one.matrix for one in built)]),
        np.concatenate([np.empty(0), *(one.events.labels for one in built)]),
    )


@settings(max_examples=80)
@given(
    files=groups(),
    name=st.sampled_from(sorted(DEFINITIONS)),
    between=st.tuples(st.integers(0, 20), st.integers(0, 22)),
    rows_min=st.integers(1, 20),
    rows_max=st.integers(1, 30),
)
def test_slices_of_any_size_give_what_the_whole_gives(
    files: list[pa.Table], name: str, between: tuple[int, int], rows_min: int, rows_max: int
) -> None:
    definition, (start, end) = DEFINITIONS[name], sorted(at * 500 for at in between)
    whole = build_training_set(
        definition, history_from_table(definition, pa.concat_tables(files)), start, end
    )
    ids, matrix, labels = built_in_slices(definition, files, start, end, rows_min, rows_max)
    assert ids == list(whole.events.ids)
    np.testing.assert_array_equal(matrix, whole.matrix)
    np.testing.assert_array_equal(labels, whole.labels)


DERIVED = [
    visits(PLAIN, label='{time_to: "amount > 2", within: 2 events}'),
    visits(PLAIN, label="{time_to: end_of_entity, unit: time, within: 3s}"),
]


@settings(max_examples=40)
@given(files=groups(), rows_max=st.integers(1, 30), definition=st.sampled_from(DERIVED))
def test_labels_made_of_later_events_are_those_of_the_whole(
    files: list[pa.Table], rows_max: int, definition: Definition
) -> None:
    assert isinstance(definition.label, DerivedLabel)
    history = history_from_table(definition, pa.concat_tables(files))
    got = derived_in_order(definition, definition.label, slices_of(definition, files, 1, rows_max))
    np.testing.assert_array_equal(got, event_labels(definition, history))


def test_what_a_displaced_edge_takes_in_is_carried_over() -> None:
    # The cut of the last event lies at 8 s, so that its window from 4.6 s on takes in all from 4 s on.
    definition = DEFINITIONS["coarse"]
    rows = [visit(number, at, place=None) for number, at in enumerate([4500, 8000, 8500, 9500, 9600])]
    whole = build_training_set(definition, history_from_table(definition, table_of(rows)), 0, 20_000)
    assert whole.matrix[-1, definition.feature_names.index("who_count_5s")] == 5
    _, matrix, _ = built_in_slices(definition, [table_of(rows)], 0, 20_000, 1, 4)
    np.testing.assert_array_equal(matrix, whole.matrix)


def test_ordered_batches_wait_for_nobody_and_mixed_ones_for_those_that_reach_into_them() -> None:
    in_order = [Extent(10, 100 * at, 100 * at + 99) for at in range(5)]
    assert waiting_rows(in_order) == waiting_rows(in_order[::-1]) == 0
    assert waiting_rows([Extent(10, 0, 499), *in_order]) == 10
    assert waiting_rows([Extent(10, 0, 1000) for _ in range(5)]) == 40
