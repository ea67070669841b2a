"""History straight into the store is what live materializing of the same events would have left there."""

import numpy as np
import pyarrow as pa
import pytest

from features.definition import parse_definition
from features.definition.model import RowKind
from features.keys import Namespace
from features.past.history import History, history_from_table
from stream.workers import backfill as module
from stream.workers.backfill import backfill, row_lifetime_ms
from tests.stream.engine.bench import LABELLED, LABELS, bench
from tests.stream.engine.contents import EVENTS, entries_by_row
from tests.stream.engine.stores import StoreServer
from tests.stream.engine.workers import START_MS


def history(count: int = 60) -> History:
    draw = np.random.default_rng(1)
    doors = [("front", "back", None)[at] for at in draw.integers(0, 3, count)]
    bad = [None if n % 7 == 0 else bool(n % 3) for n in range(count)]
    return history_from_table(
        LABELLED,
        pa.table(
            {
                "visit": [f"0-{n}" for n in range(count)],
                "at": pa.array(START_MS - 100 * count + 100 * np.arange(count), pa.timestamp("ms")),
                "person": draw.choice(list("abc"), count).tolist(),
                "door": pa.array(doors, pa.string()),
                "weight": np.arange(count, dtype=np.float64),
                "bad": bad,
            }
        ),
    )


def test_every_event_and_every_known_label_is_in_its_rows() -> None:
    given, server, told = history(), StoreServer(lambda: 0), list[tuple[int, int]]()
    written = backfill(
        server.connect(), LABELLED, given, None, lambda done, total: told.append((done, total))
    )
    namespace = Namespace.of(LABELLED)
    events = entries_by_row(LABELLED, namespace, server, RowKind.EVENTS)
    labels = entries_by_row(LABELLED, namespace, server, RowKind.LABELS)
    with_door = sum(door is not None for door in given.events.keys["door"])
    labelled = [n for n in range(60) if n % 7 and given.events.keys["door"][n] is not None]
    assert sum(len(row) for (entity, _), row in events.items() if entity == "person") == 60
    assert sum(len(row) for (entity, _), row in events.items() if entity == "door") == with_door
    assert sum(len(row) for row in labels.values()) == len(labelled)
    assert written == 60 + with_door + len(labelled)
    assert told[-1] == (written, written)
    observed = {mark for row in labels.values() for _, _, mark, _ in row}
    assert observed == {int(given.events.times[n]) + 5_000 for n in labelled}


def test_it_may_be_repeated_and_cut_into_any_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    whole, pieces = StoreServer(lambda: 0), StoreServer(lambda: 0)
    backfill(whole.connect(), LABELLED, history(), None, lambda *_: None)
    monkeypatch.setattr(module, "CHUNK_BYTES", 100)
    for _ in range(2):
        backfill(pieces.connect(), LABELLED, history(), None, lambda *_: None)
    namespace = Namespace.of(LABELLED)
    for kind in RowKind:
        assert entries_by_row(LABELLED, namespace, pieces, kind) == entries_by_row(
            LABELLED, namespace, whole, kind
        )


def test_rows_expire_as_they_are_told_to() -> None:
    server = StoreServer(lambda: 0)
    backfill(server.connect(), LABELLED, history(), 1_234, lambda *_: None)
    rows = [name for name in server.store._values if name.startswith(Namespace.of(LABELLED).prefix)]
    assert {server.store._expires_ms[name] for name in rows} == {1_234}


def test_a_live_copy_of_an_event_of_history_counts_once() -> None:
    with bench(LABELLED) as made:
        given = history(20)
        backfill(made.store.connect(), LABELLED, given, None, lambda *_: None)
        for n in range(15, 20):
            person, door = given.events.keys["person"][n], given.events.keys["door"][n]
            assert person is not None
            made.produce_visit((0, n - 15, int(given.events.times[n]), person, door, float(n)), f"0-{n}")
        for topic in (EVENTS, LABELS):
            made.materializer(topic, topic=topic).settle()
        made.produce((START_MS - 1, "a", None, 1.0))
        made.scorer().settle()
        recent = [n for n in range(20) if given.events.times[n] > START_MS - 1_001]
        theirs = [n for n in recent if given.events.keys["person"][n] == "a"]
        assert theirs
        assert made.predictions()[-1]["features"]["person_count_1000ms"] == len(theirs) + 1


def test_a_row_outlives_the_longest_window_its_delay_late_events_and_a_lag() -> None:
    reach = 10_000 + 500
    assert row_lifetime_ms(LABELLED, 77) == reach + LABELLED.grace + 77
    idle = parse_definition(
        """
name: machines
task: binary
event:
  id: [unit, cycle]
  time: {sequence: cycle, per: unit}
  fields: {unit: string, cycle: int64, heat: float64}
entities: {machine: unit}
label: {field: failed, delay: 5}
idle: 3d
features:
  - window: {entity: machine, spans: [2 events], aggregates: [mean(heat)]}
rules: [{otherwise: 0.5}]
decisions: [{otherwise: run}]
""",
        "machines.yaml",
    )
    assert row_lifetime_ms(idle, 77) == 3 * 86_400_000


def test_nothing_is_written_for_a_history_without_events() -> None:
    server = StoreServer(lambda: 0)
    empty = history().take(np.empty(0, np.int64))
    assert backfill(server.connect(), LABELLED, empty, None, lambda *_: None) == 0
    assert server.store._values == {}


def test_a_history_without_a_known_label_fills_the_rows_of_events() -> None:
    server, given = StoreServer(lambda: 0), history()
    unlabelled = History(given.events, np.full(len(given), np.nan), given.observed_at)
    backfill(server.connect(), LABELLED, unlabelled, None, lambda *_: None)
    namespace = Namespace.of(LABELLED)
    assert entries_by_row(LABELLED, namespace, server, RowKind.EVENTS)
    assert entries_by_row(LABELLED, namespace, server, RowKind.LABELS) == {}
