"""Rows that grow are compacted beside the appends: bounded, never over another's append, never too early."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack

import numpy as np
import pytest

from features.codec import encode_entries, entry_bytes
from features.compaction import CompactedRow, compact_row
from features.definition import parse_definition
from features.definition.model import RowKind, RowSchema
from stream.engine import compactor
from tests.stream.engine.bench import HEARTBEAT_MS, LABELLED, LABELS, Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.stores import NODES
from tests.stream.engine.workers import NO_COMPACTING, START_MS, Compacting, Materializing
from tests.stream.visits import TEXT

BUSY = parse_definition(
    TEXT.replace("label:", "grace: 1s\nrows: {resolution: 10s}\nlabel:")
    .replace("[1000ms]", "[10m]", 1)
    .replace("delay: 500ms, aggregates: [count]", "delay: 1s, aggregates: [count, mean(weight)]")
    .replace("[1000ms]", "[5m]", 1)
    + "output: {features: all}\n",
    "visits.yaml",
)
"""Rows that hold more events in their windows than they keep one by one."""
GRACE_MS = 1_000
PER_TILE = 20


class Recorded:
    """A compaction that gains nothing, and what it was asked."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, int, int]] = []
        """Kind of each row, how many entries it had, and the watermark."""

    def __call__(self, schema: RowSchema, row: bytes, watermark: int) -> CompactedRow | None:
        self.rows.append((schema.kind.name, len(row) // entry_bytes(schema), watermark))
        return None

    @property
    def watermarks(self) -> set[int]:
        return {watermark for _, _, watermark in self.rows}


@pytest.fixture
def busy() -> Iterator[Bench]:
    with bench(BUSY, partitions=2) as made:
        yield made


def visit(made: Bench, count: int, workers: Sequence[Materializing], partition: int = 0) -> None:
    """Visits half a second apart, materialized as they come."""
    for n in range(count):
        made.clock.ms += 500
        made.produce((made.clock.ms, f"p{partition}", "front", float(n % 7)), partition=partition)
        for worker in workers:
            worker.worker.step(10, 0)
    for worker in workers:
        worker.settle()


def length(made: Bench, entity: str = "person", key: str = "p0", kind: RowKind = RowKind.EVENTS) -> int:
    row = made.store.store.read([made.namespace.row(entity, kind, key)])[0]
    return len(row or b"")


# ------------------------------------------------------------------------------------------- what it is for


def test_long_rows_stay_bounded_and_predictions_are_what_they_would_be_without_compaction() -> None:
    with ExitStack() as stack:
        benches = [stack.enter_context(bench(BUSY)) for _ in range(2)]
        workers = [
            made.materializer(compacting=how)
            for made, how in zip(benches, [Compacting(compact_row, 256), NO_COMPACTING], strict=True)
        ]
        for made, worker in zip(benches, workers, strict=True):
            visit(made, 1_500, [worker])
            made.broker.group(EVENTS, "visits.score").committed[0] = made.log_end()
            for _ in range(3):
                visit(made, 1, [worker])
            made.scorer().settle()
        compacted, whole = benches
        assert length(compacted) < length(whole) / 2
        predicted = [(p["features"], p["degradations"]) for p in compacted.predictions()]
        assert predicted == [(p["features"], p["degradations"]) for p in whole.predictions()]
        counts = {p["features"]["person_count_10m"] for p in whole.predictions()}
        assert 1_200 <= min(counts) <= max(counts) < 1_200 + PER_TILE
        assert workers[0].value("riverrun_compactions_total", outcome="done") > 2
        assert workers[0].value("riverrun_compactions_total", outcome="conflict") == 0
        assert workers[0].value("riverrun_late_entries_total") == 0
        assert (
            workers[0].value("riverrun_row_bytes_count") == workers[1].value("riverrun_row_bytes_count") > 0
        )


def test_an_event_that_is_too_late_for_a_folded_row_is_counted(busy: Bench) -> None:
    worker = busy.materializer(compacting=Compacting(compact_row, 256))
    visit(busy, 1_200, [worker])
    busy.produce((START_MS + 20_000, "p0", "front", 1.0))
    visit(busy, 600, [worker])
    assert worker.value("riverrun_late_entries_total") >= 1


# ----------------------------------------------------------------------------------------------- conflicts


def test_an_append_that_comes_between_is_kept_and_the_row_is_compacted_later(busy: Bench) -> None:
    worker = busy.materializer(compacting=Compacting(compact_row, 256))
    visit(busy, 500, [worker])
    zombie = busy.materializer("another")
    for _ in range(60):
        busy.store.before_replace = lambda: zombie.take(1)
        visit(busy, 1, [worker])
    assert worker.value("riverrun_compactions_total", outcome="conflict") > 0
    assert worker.value("riverrun_compactions_total", outcome="done") == 0
    busy.store.before_replace = lambda: None
    visit(busy, 1, [worker])
    assert worker.value("riverrun_compactions_total", outcome="done") >= 1


def test_two_workers_that_compact_the_same_rows_lose_nothing(busy: Bench) -> None:
    workers = [busy.materializer(group, compacting=Compacting(compact_row, 256)) for group in "ab"]
    visit(busy, 1_500, workers)
    done = [worker.value("riverrun_compactions_total", outcome="done") for worker in workers]
    assert sum(done) > 2
    busy.broker.group(EVENTS, "visits.score").committed |= {0: busy.log_end(), 1: 0}
    visit(busy, 1, workers)
    busy.scorer().settle()
    assert 1_200 <= busy.predictions()[-1]["features"]["person_count_10m"] < 1_200 + PER_TILE


# ------------------------------------------------------------------------------------------------- bounded


def test_a_step_looks_at_no_more_rows_than_it_may(busy: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compactor, "STEP_ROWS_MAX", 2)
    recorded = Recorded()
    worker = busy.materializer(compacting=Compacting(recorded, 1))
    worker.settle()
    for n in range(15):
        busy.clock.ms += 500
        busy.produce((busy.clock.ms, f"p{n % 5}", None, 1.0))
    busy.clock.ms += HEARTBEAT_MS
    worker.settle()
    assert recorded.rows == []  # nothing is known yet of how far the partitions are
    busy.clock.ms += HEARTBEAT_MS
    worker.settle()
    for expected in (2, 4, 5):
        busy.produce((busy.clock.ms, f"other-{expected}", None, 1.0))
        worker.settle()
        assert len(recorded.rows) == expected


def test_a_row_that_gains_nothing_is_not_looked_at_with_every_append(busy: Bench) -> None:
    recorded = Recorded()
    worker = busy.materializer(compacting=Compacting(recorded, 4))
    visit(busy, 60, [worker])
    persons = [entries for _, entries, _ in recorded.rows]
    assert 60 / 4 - 6 <= len(persons) / 2 <= 60 / 4
    assert worker.value("riverrun_compactions_total", outcome="needless") == len(persons)


# ----------------------------------------------------------------------------------------------- watermark


def test_rows_are_folded_up_to_the_partition_that_is_furthest_behind_whoever_has_it(busy: Bench) -> None:
    recorded = Recorded()
    first = busy.materializer(compacting=Compacting(recorded, 1))
    second = busy.materializer()
    first.worker.step(0, 0)
    second.worker.step(0, 0)
    first.worker.step(0, 0)
    second.worker.step(0, 0)
    assert (first.worker.assigned_partitions, second.worker.assigned_partitions) == ({0}, {1})
    visit(busy, 20, [second], partition=1)
    behind = busy.progress_of(1).event_time
    visit(busy, 20, [], partition=1)
    second.source.pause()
    for _ in range(40):
        visit(busy, 1, [first])
        second.worker.step(10, 0)
    assert behind - 2 * GRACE_MS <= max(recorded.watermarks) <= behind - GRACE_MS


def test_an_idle_partition_holds_folding_back_for_twice_the_grace_at_most(busy: Bench) -> None:
    recorded = Recorded()
    worker = busy.materializer(compacting=Compacting(recorded, 1))
    visit(busy, 1, [worker], partition=1)
    visit(busy, 60, [worker])
    newest = busy.progress_of(0).event_time
    assert newest - 2 * GRACE_MS >= max(recorded.watermarks) >= newest - 2 * (GRACE_MS + HEARTBEAT_MS) - 500


def test_rows_of_labels_are_folded_by_when_labels_were_observed() -> None:
    recorded = Recorded()
    with bench(LABELLED) as made:
        worker = made.materializer(topic=LABELS, compacting=Compacting(recorded, 1))
        for n in range(30):
            made.clock.ms += 500
            made.produce_label(f"0-{n}", 1, START_MS + 100 * n)
            worker.settle()
    assert {kind for kind, _, _ in recorded.rows} == {"LABELS"}
    assert max(recorded.watermarks) > START_MS + 1_000 - LABELLED.grace
    assert max(recorded.watermarks) <= START_MS + 2_900 - LABELLED.grace


def test_where_times_are_a_sequence_a_row_is_folded_by_its_own_newest_entry(busy: Bench) -> None:
    recorded = Recorded()
    worker = busy.materializer(compacting=Compacting(recorded, 1, row_grace=3))
    visit(busy, 30, [worker])
    assert {(watermark + 3) % 500 for watermark in recorded.watermarks} == {0}
    assert max(recorded.watermarks) + 3 > busy.clock.ms - GRACE_MS


# ------------------------------------------------------------------------------------- when nothing is folded


def test_nothing_is_folded_while_history_is_being_loaded_or_is_still_to_come(busy: Bench) -> None:
    recorded, store = Recorded(), busy.store.connect()
    worker = busy.materializer(compacting=Compacting(recorded, 1), has_history=True)
    visit(busy, 30, [worker])
    assert recorded.rows == []
    store.put_if_absent(busy.namespace.history(), b'{"epoch":"epoch-1","since":1,"until":2}')
    store.put_if_absent(busy.namespace.loading(), b"somebody %d" % (busy.clock.ms + 20_000))
    visit(busy, 30, [worker])
    assert recorded.rows == []
    visit(busy, 60, [worker])
    assert recorded.rows != []


def test_nothing_is_folded_in_a_store_whose_state_was_lost_by_who_has_not_noticed(busy: Bench) -> None:
    recorded = Recorded()
    worker = busy.materializer(compacting=Compacting(recorded, 1))
    visit(busy, 30, [worker])
    for node in range(NODES):
        busy.store.fail_over(node, None, breaks=False)
    before = len(recorded.rows)
    for n in range(4):
        busy.produce((busy.clock.ms + n, "another", "back", 1.0))
        worker.take(1)
    assert length(busy, key="another") > 2 * entry_bytes(BUSY.rows[0])
    assert len(recorded.rows) == before


def test_nothing_is_folded_while_rows_of_the_layout_before_are_united_with_ours(busy: Bench) -> None:
    recorded, store = Recorded(), busy.store.connect()
    store.put_if_absent(busy.namespace.predecessor(), b"epoch-1")
    worker = busy.materializer(compacting=Compacting(recorded, 1))
    visit(busy, 30, [worker])
    assert recorded.rows == []


def test_the_newest_time_of_a_row_is_that_of_its_events_or_of_what_was_observed() -> None:
    times, marks = np.array([5, 9, 7]), np.array([70, 20, 30]).view(np.uint64)
    ids = np.array([1, 2, 3], np.uint64)
    row = encode_entries(times, ids, marks, np.empty((3, 0)))
    assert compactor.newest_of(RowSchema("door", RowKind.EVENTS, ()), row) == 9
    assert compactor.newest_of(RowSchema("door", RowKind.LABELS, ()), row) == 70
    assert compactor.newest_of(RowSchema("door", RowKind.LABELS, ()), b"") == 0
