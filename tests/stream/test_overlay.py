"""What a score worker remembers of events that the materializer may not have appended yet."""

from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.codec import entry_bytes
from features.definition import parse_definition
from features.definition.model import RowKind
from features.event import EventBatch, hash_ids, pack_positions, position_offsets, position_partitions
from features.rows import request_rows
from stream.engine import overlay as module
from stream.engine.overlay import Overlay

DEFINITION = parse_definition(
    """
name: visits
task: binary
event:
  id: visit
  time: {field: at, unit: ms}
  fields:
    visit: string
    at: timestamp
    person: string
    door: {type: string, missing: allow}
    weight: float64
entities: {person: person, door: door}
label: {field: bad, delay: 1d}
features:
  - fields: [weight]
  - window: {entity: person, spans: [1d], aggregates: [count, mean(weight)]}
  - window: {entity: door, spans: [1d], aggregates: [count]}
rules:
  - {otherwise: 0.5}
decisions:
  - {otherwise: go}
""",
    "visits.yaml",
)
ENTRY_BYTES = sum(entry_bytes(schema) for schema in DEFINITION.rows)


def batch(records: Sequence[tuple[int, int, str, str | None]]) -> EventBatch:
    """Events from (partition, offset, person, door)."""
    ids = [f"{partition}-{offset}" for partition, offset, _, _ in records]
    return EventBatch(
        ids=ids,
        hashes=hash_ids(ids),
        times=np.array([offset for _, offset, _, _ in records], dtype=np.int64),
        positions=pack_positions(
            np.array([r[0] for r in records], dtype=np.int64),
            np.array([r[1] for r in records], dtype=np.int64),
        ),
        columns={"weight": np.array([float(offset) for _, offset, _, _ in records])},
        keys={"person": [person for _, _, person, _ in records], "door": [door for _, _, _, door in records]},
    )


def held(overlay: Overlay, person: str) -> set[tuple[int, int]]:
    """Positions the overlay holds of a person."""
    request = request_rows(DEFINITION, batch([(9, 0, person, "nowhere")]))
    found = overlay.entries(request).get(("person", RowKind.EVENTS))
    if found is None:
        return set()
    marks = found.marks
    return set(zip(position_partitions(marks).tolist(), position_offsets(marks).tolist(), strict=True))


def test_entries_are_found_under_the_rows_of_the_request() -> None:
    overlay = Overlay(DEFINITION, 10_000)
    overlay.add(batch([(0, 1, "ann", "front"), (0, 2, "bob", None), (1, 1, "ann", "back")]))
    request = request_rows(DEFINITION, batch([(0, 9, "bob", "back"), (0, 10, "ann", "front")]))
    found = overlay.entries(request)
    people = found["person", RowKind.EVENTS]
    assert sorted(zip(people.row.tolist(), people.values[:, 0].tolist(), strict=True)) == [
        (0, 2.0),
        (1, 1.0),
        (1, 1.0),
    ]
    doors = found["door", RowKind.EVENTS]
    assert sorted(doors.row.tolist()) == [0, 1]


def test_what_is_materialized_is_forgotten() -> None:
    overlay = Overlay(DEFINITION, 10_000)
    overlay.add(batch([(0, 1, "ann", None), (0, 2, "ann", None), (1, 7, "ann", None)]))
    overlay.trim({0: 2})
    assert held(overlay, "ann") == {(0, 2), (1, 7)}


def test_a_revoked_partition_is_forgotten() -> None:
    overlay = Overlay(DEFINITION, 10_000)
    overlay.add(batch([(0, 1, "ann", None), (1, 7, "ann", None)]))
    overlay.revoke({1})
    assert held(overlay, "ann") == {(0, 1)}


def test_a_full_overlay_drops_the_oldest_and_says_so_until_they_are_materialized() -> None:
    overlay = Overlay(DEFINITION, 4 * ENTRY_BYTES)
    overlay.add(batch([(0, offset, "ann", "front") for offset in range(8)]))
    assert overlay.size_bytes <= 4 * ENTRY_BYTES
    dropped = 8 - len(held(overlay, "ann"))
    assert held(overlay, "ann") == {(0, offset) for offset in range(dropped, 8)}
    assert overlay.truncated({}) == {0}
    assert overlay.truncated({0: dropped - 1}) == {0}
    assert overlay.truncated({0: dropped}) == set()


def test_keys_take_room_too_and_long_ones_push_old_entries_out() -> None:
    overlay = Overlay(DEFINITION, 100_000)
    for start in range(0, 500, 50):
        overlay.add(batch([(0, n, f"{n:0400}", None) for n in range(start, start + 50)]))
    assert overlay.size_bytes <= 100_000
    assert 500 * ENTRY_BYTES < 100_000, "the entries alone would fit"
    assert overlay.truncated({}) == {0}
    assert overlay.truncated({0: 450}) == set(), "the newest are there"


@given(
    records=st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["ann", "bob", "cy"])), max_size=40),
    cuts=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 40)), max_size=6),
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=5),
)
def test_with_room_it_holds_exactly_what_is_beyond_the_progress(
    records: list[tuple[int, str]], cuts: list[tuple[int, int]], sizes: list[int]
) -> None:
    positioned = [(partition, offset, person, None) for offset, (partition, person) in enumerate(records)]
    overlay = Overlay(DEFINITION, 1_000_000)
    progress: dict[int, int] = {}
    at = 0
    for turn in range(len(positioned) + 1):
        size = sizes[turn % len(sizes)]
        overlay.add(batch(positioned[at : at + size]))
        at += size
        if turn < len(cuts):
            partition, offset = cuts[turn]
            progress[partition] = max(progress.get(partition, 0), offset)
            overlay.trim(progress)
    overlay.trim(progress)
    for person in ("ann", "bob", "cy"):
        wanted = {(p, o) for p, o, who, _ in positioned if who == person and o >= progress.get(p, 0)}
        assert held(overlay, person) == wanted


def test_what_was_materialized_and_forgotten_is_missing_from_a_store_that_lost_it() -> None:
    overlay = Overlay(DEFINITION, 10_000)
    overlay.add(batch([(0, offset, "ann", None) for offset in range(8)]))
    overlay.trim({0: 6, 1: 3})
    assert overlay.truncated({0: 6, 1: 3}) == set()
    assert overlay.truncated({0: 2, 1: 3}) == {0}
    overlay.trim({0: 2, 1: 3})
    assert overlay.truncated({0: 5, 1: 3}) == {0}, "what it forgot does not come back by itself"
    overlay.trim({0: 6, 1: 3})
    assert overlay.truncated({0: 6, 1: 3}) == set()
    overlay.revoke({0})
    assert overlay.truncated({0: 0, 1: 3}) == set()


@pytest.mark.parametrize("trimmed", [False, True])
def test_keys_of_entries_that_went_do_not_pile_up(trimmed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_KEYS_SPARE", 10)
    overlay = Overlay(DEFINITION, 20 * ENTRY_BYTES)
    for offset in range(0, 2_000, 4):
        overlay.add(batch([(0, o, f"person-{o}", f"door-{o}") for o in range(offset, offset + 4)]))
        if trimmed:
            overlay.trim({0: offset})
    for held_ in overlay._held.values():
        assert len(held_.keys) <= 2 * len(held_.entries) + 10 + 4
    assert held(overlay, "person-1999") == {(0, 1999)}
    assert held(overlay, "person-0") == set()


def test_a_batch_larger_than_the_overlay_leaves_it_within_its_bound() -> None:
    overlay = Overlay(DEFINITION, 3 * ENTRY_BYTES)
    overlay.add(batch([(0, offset, "ann", "front") for offset in range(100)]))
    assert overlay.size_bytes <= 3 * ENTRY_BYTES
    assert overlay.truncated({0: 0}) == {0}
    overlay.add(batch([]))
    assert overlay.size_bytes <= 3 * ENTRY_BYTES
