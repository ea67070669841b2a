"""Rows at their edges: nothing in them, everything in one of them, the same thing twice."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.arrays import Floats
from features.codec import Entries, encode_entries
from features.definition import parse_definition
from features.definition.model import Definition, RowKind
from features.event import EventBatch, hash_ids, pack_positions
from features.keys import Namespace
from features.matrix import FeaturePlan
from features.progress import ALWAYS, Progress, decode_progress, encode_progress
from features.rows import assemble_rows, entry_values, index_keys, request_rows

DEFINITION = parse_definition(
    """
name: visits
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  fields:
    {visit: string, at: timestamp, person: string, door: {type: string, missing: allow}, weight: float64}
entities: {person: person, door: door}
label: {field: bad, delay: 1d}
features:
  - fields: [weight]
  - window: {entity: person, spans: [100ms, 3 events], aggregates: [count, sum(weight)]}
  - window: {entity: person, spans: [1000ms], current: exclude, aggregates: [last(weight)], name: before}
  - window: {entity: door, spans: [100ms], aggregates: [distinct_count(person)], empty: -1}
  - window: {entity: door, spans: [100ms], delay: 10ms, aggregates: [mean(label)]}
  - {name: double, sql: "weight * 2"}
rules: [{otherwise: 0.5}]
decisions: [{otherwise: go}]
""",
    "visits.yaml",
)
PLAN = FeaturePlan(DEFINITION)
NAMESPACE = Namespace.of(DEFINITION)
ANN = NAMESPACE.row("person", RowKind.EVENTS, "ann")
Visit = tuple[str, int, int, str | None, str | None, float]
"""(id, offset, time, person, door, weight), all of partition 0."""


def batch(visits: Sequence[Visit]) -> EventBatch:
    ids = [visit[0] for visit in visits]
    offsets = np.array([visit[1] for visit in visits], np.int64)
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([visit[2] for visit in visits], np.int64),
        positions=pack_positions(np.zeros(len(ids), np.int64), offsets),
        columns={
            "visit": np.array(ids, object),
            "at": np.array([float(visit[2]) for visit in visits]),
            "person": np.array([visit[3] for visit in visits], object),
            "door": np.array([visit[4] for visit in visits], object),
            "weight": np.array([visit[5] for visit in visits], np.float64),
        },
        keys={"person": [visit[3] for visit in visits], "door": [visit[4] for visit in visits]},
    )


def features(events: EventBatch, stored: Sequence[bytes | None] | None = None) -> Floats:
    request = request_rows(DEFINITION, events)
    answer = [None] * len(request.store_keys) if stored is None else stored
    rows, corrupt = assemble_rows(DEFINITION, events, request, answer, {})
    assert not corrupt.any()
    return PLAN.matrix(events, rows)


def column(matrix: Floats, name: str) -> list[float]:
    values: list[float] = matrix[:, PLAN.names.index(name)].tolist()
    return values


# ----------------------------------------------------------------------------------------------- nothing


def test_a_batch_without_events_asks_for_nothing_and_gives_no_rows() -> None:
    events = batch([])
    assert request_rows(DEFINITION, events).store_keys == []
    assert features(events).shape == (0, len(PLAN.names))


def test_asking_for_none_of_a_batchs_events_gives_no_rows() -> None:
    events = batch([("a", 0, 5, "ann", "front", 1.0)])
    rows, _ = assemble_rows(DEFINITION, events, request_rows(DEFINITION, events), [None] * 3, {})
    assert PLAN.matrix(events, rows, np.empty(0, np.int64)).shape == (0, len(PLAN.names))


def test_events_without_any_key_have_their_fields_and_no_window() -> None:
    events = batch([("a", 0, 5, None, None, 1.0), ("b", 1, 6, None, None, 2.0)])
    assert request_rows(DEFINITION, events).store_keys == []
    matrix = features(events)
    assert column(matrix, "weight") == [1.0, 2.0]
    assert column(matrix, "double") == [2.0, 4.0]
    windows = [at for at, name in enumerate(PLAN.names) if name not in ("weight", "double")]
    assert np.isnan(matrix[:, windows]).all()


def test_an_event_without_a_key_takes_no_part_in_the_rows_of_others() -> None:
    events = batch([("a", 0, 5, "ann", None, 1.0), ("b", 1, 6, None, "front", 2.0)])
    matrix = features(events)
    assert column(matrix, "person_count_100ms")[0] == 1.0
    assert np.isnan(column(matrix, "person_count_100ms")[1])
    assert column(matrix, "door_distinct_count_person_100ms")[1] == 0.0, "no person is no distinct one"


def test_a_matrix_without_rows_has_the_fields_only() -> None:
    events = batch([("a", 0, 5, "ann", "front", 1.5)])
    matrix = PLAN.matrix(events, {})
    assert column(matrix, "weight") == [1.5]
    assert np.isnan(column(matrix, "person_count_100ms")).all()


# -------------------------------------------------------------------------------------- everything in one


def test_one_row_of_a_hundred_thousand_entries_is_counted_exactly() -> None:
    count = 100_000
    draw = np.random.default_rng(3)
    times = np.sort(draw.integers(0, 20_000, count))
    order = draw.permutation(count)
    hashes = hash_ids(f"old-{n}" for n in range(count))
    positions = pack_positions(np.zeros(count, np.int64), np.arange(count))
    person = next(row for row in DEFINITION.rows if row.entity == "person")
    values = np.ones((count, len(person.columns)))
    row = encode_entries(times[order], hashes[order], positions[order], values[order])
    visits: list[Visit] = [("a", count, 10_000, "ann", None, 1.0), ("b", count + 1, 20_000, "ann", None, 1.0)]
    events = batch(visits)
    request = request_rows(DEFINITION, events)
    stored = [row if key == ANN else None for key in request.store_keys]
    matrix = features(events, stored)
    ends = [int(((times > t - 100) & (times <= t)).sum()) for t in (10_000, 20_000)]
    assert column(matrix, "person_count_100ms") == [ends[0] + 1, ends[1] + 1]
    assert column(matrix, "person_sum_weight_100ms") == [ends[0] + 1, ends[1] + 1]
    assert column(matrix, "person_count_3_events") == [3.0, 3.0]


# ---------------------------------------------------------------------------------------- the same twice


def test_a_record_that_comes_twice_in_a_batch_counts_once_for_all_after_it() -> None:
    visits: list[Visit] = [
        ("a", 0, 5, "ann", None, 1.0),
        ("a", 1, 5, "ann", None, 1.0),
        ("b", 2, 6, "ann", None, 2.0),
        ("a", 3, 5, "ann", None, 1.0),
    ]
    matrix = features(batch(visits))
    # The last copy is late: it sees neither itself nor what came after its own time.
    assert column(matrix, "person_count_100ms") == [1.0, 1.0, 2.0, 1.0]
    assert column(matrix, "person_sum_weight_100ms") == [1.0, 1.0, 3.0, 1.0]


def test_events_of_the_same_millisecond_see_those_before_them_in_the_log() -> None:
    visits: list[Visit] = [(f"v{n}", n, 7, "ann", None, 10.0**n) for n in range(4)]
    matrix = features(batch(visits))
    assert column(matrix, "person_count_100ms") == [1.0, 2.0, 3.0, 4.0]
    assert column(matrix, "person_sum_weight_100ms") == [1.0, 11.0, 111.0, 1111.0]
    assert column(matrix, "person_sum_weight_3_events") == [1.0, 11.0, 111.0, 1110.0]
    assert np.isnan(column(matrix, "before_last_weight_1000ms")[0])
    assert column(matrix, "before_last_weight_1000ms")[1:] == [1.0, 10.0, 100.0]


def test_the_same_entries_from_the_store_change_nothing() -> None:
    visits: list[Visit] = [(f"v{n}", n, 5 + n // 2, "ann", "front", float(n)) for n in range(6)]
    events = batch(visits)
    request = request_rows(DEFINITION, events)
    stored = []
    for schema in DEFINITION.rows:
        values = entry_values(DEFINITION, schema, events) if schema.kind is RowKind.EVENTS else None
        row = None
        if values is not None:
            row = encode_entries(events.times, events.hashes, events.positions, values) * 2
        stored += [row for _ in request.indexes[schema.entity].keys]
    np.testing.assert_array_equal(features(events, stored), features(events))


# --------------------------------------------------------------------------------------- numbers and names


@given(st.lists(st.one_of(st.none(), st.text(max_size=2)), max_size=20))
def test_distinct_keys_are_numbered_in_the_order_of_their_first_event(keys: list[str | None]) -> None:
    index = index_keys(keys)
    assert list(index.keys) == list(dict.fromkeys(key for key in keys if key is not None))
    assert [None if at < 0 else index.keys[at] for at in index.of_event.tolist()] == keys


def test_a_string_column_is_kept_as_a_number_that_tells_texts_apart_and_missing_from_empty() -> None:
    schema = next(row for row in DEFINITION.rows if row.entity == "door" and row.kind is RowKind.EVENTS)
    people = ["ann", "bob", "", None, "ann"]
    visits: list[Visit] = [(f"v{n}", n, 5, who, "front", 1.0) for n, who in enumerate(people)]
    kept = entry_values(DEFINITION, schema, batch(visits))[:, schema.columns.index("person")]
    assert np.isnan(kept[3])
    assert kept[0] == kept[4]
    assert len(set(kept[[0, 1, 2]].tolist())) == 3
    assert (kept[[0, 1, 2]] == np.floor(kept[[0, 1, 2]])).all()


names = st.from_regex(r"[a-z][a-z0-9_]{0,5}", fullmatch=True)
row_names = st.tuples(names, st.sampled_from(RowKind), st.text(max_size=6))


@given(row_names, row_names)
def test_two_rows_never_share_a_key(one: tuple[str, RowKind, str], another: tuple[str, RowKind, str]) -> None:
    assert (NAMESPACE.row(*one) == NAMESPACE.row(*another)) == (one == another)


def test_definitions_whose_rows_differ_share_no_key() -> None:
    other: Definition = replace(
        DEFINITION, fingerprints=replace(DEFINITION.fingerprints, state="0" * 64), name="visits"
    )
    same_rows = replace(DEFINITION, fingerprints=replace(DEFINITION.fingerprints, policy="0" * 64))
    assert Namespace.of(other) != NAMESPACE
    assert Namespace.of(replace(DEFINITION, name="calls")) != NAMESPACE
    assert Namespace.of(same_rows) == NAMESPACE
    assert NAMESPACE.progress("a", 1) != NAMESPACE.progress("a:1", 1)
    assert NAMESPACE.epoch().startswith(NAMESPACE.prefix)


# ------------------------------------------------------------------------------------------------ progress


def progress(**changes: object) -> Progress:
    values: dict[str, object] = {
        "epoch": "e", "offset": 3, "log_end": 5, "event_time": 7, "complete_since": ALWAYS, "written_at": 9
    }  # fmt: skip
    return Progress(**(values | changes))  # type: ignore[arg-type]  # the fields' types differ


def test_progress_reads_back_as_it_was_written() -> None:
    assert decode_progress(encode_progress(progress(rebuilding=True)), "e") == progress(rebuilding=True)


@pytest.mark.parametrize(
    "data", [None, b"", b"{}", b"null", b"\x00", encode_progress(progress(epoch="another"))]
)
def test_progress_that_is_not_there_or_of_another_life_counts_as_none(data: bytes | None) -> None:
    assert decode_progress(data, "e") is None


def test_the_end_is_where_nothing_of_the_log_is_left() -> None:
    assert not progress(offset=4).at_end
    assert progress(offset=5).at_end


def test_a_row_that_is_no_whole_number_of_entries_is_unusable_for_its_events_alone() -> None:
    visits: list[Visit] = [("a", 0, 5, "ann", "front", 1.0), ("b", 1, 6, "bob", "front", 2.0)]
    events = batch(visits)
    request = request_rows(DEFINITION, events)
    stored = [b"short" if key == ANN else None for key in request.store_keys]
    rows, corrupt = assemble_rows(DEFINITION, events, request, stored, {})
    assert corrupt.tolist() == [True, False]
    counts = column(PLAN.matrix(events, rows), "person_count_100ms")
    assert np.isnan(counts[0])
    assert counts[1] == 1.0


def test_entries_of_the_overlay_join_the_row_they_are_numbered_for() -> None:
    events = batch([("a", 5, 50, "ann", None, 1.0), ("b", 6, 51, "bob", None, 2.0)])
    request = request_rows(DEFINITION, events)
    held = batch([("x", 1, 40, "bob", None, 8.0), ("y", 2, 41, "bob", None, 16.0)])
    schema = next(row for row in DEFINITION.rows if row.entity == "person")
    overlay = Entries(
        row=np.array([1, 1]),
        times=held.times,
        ids=held.hashes,
        marks=held.positions,
        values=entry_values(DEFINITION, schema, held),
    )
    answer: list[bytes | None] = [None] * len(request.store_keys)
    rows, _ = assemble_rows(DEFINITION, events, request, answer, {("person", RowKind.EVENTS): overlay})
    assert column(PLAN.matrix(events, rows), "person_sum_weight_100ms") == [1.0, 26.0]


# -------------------------------------------------------------------------------------- the layout before


def layout_1(events: EventBatch) -> dict[bytes, bytes]:
    """The rows of these events as the previous layout had them, by key."""
    rows: dict[bytes, bytes] = {}
    for schema in (row for row in DEFINITION.rows if row.kind is RowKind.EVENTS):
        values = entry_values(DEFINITION, schema, events)
        for at, key in enumerate(events.keys[schema.entity]):
            if key is not None:
                head = (events.times[at], events.hashes[at], events.positions[at])
                entry = b"".join(word.tobytes() for word in head) + values[at].tobytes()
                name = NAMESPACE.previous().row(schema.entity, schema.kind, key)
                rows[name] = rows.get(name, b"") + entry
    return rows


def test_rows_of_the_previous_layout_are_united_with_todays() -> None:
    old = batch([("x", 1, 40, "ann", "front", 8.0), ("y", 2, 41, "bob", None, 16.0)])
    both = batch([("x", 1, 40, "ann", "front", 8.0), ("z", 3, 42, "ann", None, 32.0)])
    events = batch([("a", 5, 50, "ann", "front", 1.0), ("b", 6, 51, "bob", None, 2.0)])
    request = request_rows(DEFINITION, events, NAMESPACE.previous())
    person = next(row for row in DEFINITION.rows if row.entity == "person")
    values = entry_values(DEFINITION, person, both)
    held = {**layout_1(old), ANN: encode_entries(both.times, both.hashes, both.positions, values)}
    rows, corrupt = assemble_rows(DEFINITION, events, request, [held.get(k) for k in request.store_keys], {})
    assert not corrupt.any()
    sums = column(PLAN.matrix(events, rows), "person_sum_weight_100ms")
    assert sums == [8.0 + 32.0 + 1.0, 16.0 + 2.0], "what is in both counts once"
    assert column(PLAN.matrix(events, rows), "door_distinct_count_person_100ms")[0] == 1.0


def test_a_corrupt_row_of_the_previous_layout_is_unusable_as_well() -> None:
    events = batch([("a", 5, 50, "ann", None, 1.0), ("b", 6, 51, "bob", None, 2.0)])
    request = request_rows(DEFINITION, events, NAMESPACE.previous())
    old_ann = NAMESPACE.previous().row("person", RowKind.EVENTS, "ann")
    stored = [b"short" if key == old_ann else None for key in request.store_keys]
    _, corrupt = assemble_rows(DEFINITION, events, request, stored, {})
    assert corrupt.tolist() == [True, False]


def test_the_previous_layout_has_keys_of_its_own_and_is_not_asked_for_otherwise() -> None:
    events = batch([("a", 5, 50, "ann", "front", 1.0)])
    today, previous = NAMESPACE.prefix, NAMESPACE.previous().prefix
    assert (today.split(b":")[3], previous.split(b":")[3]) == (b"2", b"1")
    assert all(key.startswith(today) for key in request_rows(DEFINITION, events).store_keys)
    both = request_rows(DEFINITION, events, NAMESPACE.previous()).store_keys
    assert [key.startswith(previous) for key in both] == [False] * 3 + [True] * 3
    assert [key.removeprefix(previous) for key in both[3:]] == [key.removeprefix(today) for key in both[:3]]
