"""Explanations say what was computed, and account for every entry near a window's edges."""

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definition.model import Definition, RowKind
from features.event import EventBatch
from features.explain import ExplainedSql, ExplainedValue, ExplainedWindow, Reason, explain
from features.matrix import FeaturePlan
from features.past.history import History, history_from_table
from features.rows import RowId, Rows, history_rows
from features.windows.aggregate import Segments, aggregate
from tests.features.visit_tables import DEFINITIONS, groups, table_of, visit, visits


def rows_of(definition: Definition, history: History) -> dict[RowId, Rows]:
    labelled = {row.entity for row in definition.rows if row.kind is RowKind.LABELS}
    return history_rows(definition, history.events, {name: history.label_entries(name) for name in labelled})


def explained(definition: Definition, history: History, at: int) -> list[object]:
    plan = FeaturePlan(definition)
    return list(explain(definition, plan, history.events, at, rows_of(definition, history), {}))


def aggregated(one: ExplainedWindow, time: int) -> float:
    """The aggregate of the entries that are listed."""
    feature, entries = one.feature, one.entries
    if feature.function == "time_since_last":
        return (time - entries[-1].time) / 1000 if entries else feature.empty
    if feature.column is None:
        return float(len(entries))
    values = np.array([entry.value for entry in entries], np.float64)
    whole = Segments(np.array([0]), np.array([len(values)]))
    return float(aggregate(feature.function, values, whole, feature.empty, feature.std_of_one)[0])


@settings(max_examples=60)
@given(files=groups(), name=st.sampled_from(sorted(DEFINITIONS)), data=st.data())
def test_the_value_is_the_one_computed_and_that_of_the_entries_listed(
    files: list[pa.Table], name: str, data: st.DataObject
) -> None:
    definition = DEFINITIONS[name]
    history = history_from_table(definition, pa.concat_tables(files))
    if not len(history):
        return
    at = data.draw(st.integers(0, len(history) - 1))
    rows = rows_of(definition, history)
    computed = FeaturePlan(definition).matrix(history.events, rows)[at]
    found = explained(definition, history, at)
    for feature, value in zip(found, computed.tolist(), strict=True):
        assert isinstance(feature, ExplainedWindow | ExplainedSql | ExplainedValue)
        np.testing.assert_equal(feature.value, value)
        if isinstance(feature, ExplainedWindow):
            unusable = rows[feature.feature.entity, feature.feature.kind].of_event[at] < 0
            again = np.nan if unusable else aggregated(feature, int(history.events.times[at]))
            np.testing.assert_allclose(again, value, rtol=1e-12)


@settings(max_examples=40)
@given(files=groups(), name=st.sampled_from(["both", "tiles"]), data=st.data())
def test_every_entry_between_the_edges_is_listed_or_left_out_for_a_reason(
    files: list[pa.Table], name: str, data: st.DataObject
) -> None:
    definition = DEFINITIONS[name]
    history = history_from_table(definition, pa.concat_tables(files))
    if not len(history):
        return
    at = data.draw(st.integers(0, len(history) - 1))
    rows = rows_of(definition, history)
    for one in explained(definition, history, at):
        if not isinstance(one, ExplainedWindow) or one.start is None:
            continue
        held = rows[one.feature.entity, one.feature.kind]
        if held.of_event[at] < 0:
            continue
        of_row = held.entries.times[held.entries.row == held.of_event[at]]
        first, after = one.start + 1, one.end + 1
        if one.cut is not None:  # a distinct count begins there; an edge before it lies where its tile begins
            schema = next(
                row
                for row in definition.rows
                if (row.entity, row.kind) == (one.feature.entity, one.feature.kind)
            )
            counts_values = one.feature.function == "distinct_count"
            first = max(first, one.cut) if counts_values else first
            tiled = after < one.cut and schema.resolution and not counts_values
            after = after // schema.resolution * schema.resolution if tiled else after
        between = int(((of_row >= first) & (of_row < after)).sum())
        told = [*one.entries, *(out.entry for out in one.left_out)]
        assert sum(first <= entry.time < after for entry in told) == between


def reasons(
    definition: Definition, events: EventBatch, history: History, at: int, name: str
) -> dict[int, Reason]:
    """By event time, why an entry is not in the window of this name."""
    for one in explained(definition, history, at):
        if isinstance(one, ExplainedWindow) and one.feature.name == name:
            return {out.entry.time: out.reason for out in one.left_out}
    raise AssertionError(name)


def test_entries_are_left_out_for_the_reason_that_holds() -> None:
    definition = visits("""
  - window: {name: w, entity: who, spans: [3s], where: "amount > 1", current: exclude, aggregates: [count]}
  - window: {name: n, entity: who, spans: [1 events], aggregates: [sum(amount)]}
  - window: {name: l, entity: place, spans: [6s], delay: 1s, aggregates: [mean(label)]}
""")
    rows = [
        visit(0, 1000),
        visit(1, 3000, amount=0.5, late=9000),
        visit(2, 4000),
        visit(2, 4500),
        visit(3, 5000),
        visit(4, 6000),
    ]
    history = history_from_table(definition, table_of(rows))
    at = 4
    assert history.events.ids[at] == "e3"
    by_condition = reasons(definition, history.events, history, at, "w_count_3s")
    assert by_condition == {
        1000: Reason.TOO_OLD,
        3000: Reason.CONDITION,
        4500: Reason.REPEATED,
        5000: Reason.OWN,
        6000: Reason.NOT_BEFORE,
    }
    by_number = reasons(definition, history.events, history, at, "n_sum_amount_1_events")
    assert by_number[4000] is Reason.BEYOND_COUNT
    by_label = reasons(definition, history.events, history, at, "l_mean_label_6s_delay_1s")
    assert by_label[3000] is Reason.UNKNOWN_YET
    assert by_label[5000] is Reason.OWN


def test_an_expression_comes_with_what_it_was_given() -> None:
    definition = visits("  - window: {entity: who, spans: [3s], aggregates: [count]}")
    history = history_from_table(definition, table_of([visit(0, 6000)]))
    late = explained(definition, history, 0)[1]
    assert isinstance(late, ExplainedSql)
    assert (late.value, late.inputs) == (1.0, {"at": 6000.0})
