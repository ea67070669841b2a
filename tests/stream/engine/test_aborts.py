"""What becomes of the overlay when a transaction is aborted: what it held of it is answered once more."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from stream.engine.batch import BatchPolicy
from stream.errors import AbortCause, Aborted
from stream.transport.memory import MemoryTransactions
from tests.stream.engine.bench import Bench, bench
from tests.stream.engine.workers import START_MS, Scoring, lag

PARTITIONS = 2
LATE_MS = 8
"""By how much an event may be later than the one that came after it."""
COMMIT_MS = 10
STEPS_MAX = 100
MAY_LACK = {"overlay_truncated", "rebuilding", "store_down"}
Events = list[tuple[int, int]]
"""How long each happened before its turn, ms, and in which partition it stands."""
EVENTS = st.lists(st.tuples(st.integers(0, LATE_MS), st.integers(0, PARTITIONS - 1)), min_size=2, max_size=16)


def produce(made: Bench, events: Events) -> None:
    for turn, (earlier_ms, partition) in enumerate(events):
        person = f"p{partition}-{turn % 2}"
        made.produce((START_MS + turn - earlier_ms, person, "front", 1.0 + turn), partition=partition)


def scoring(made: Bench, batch_max: int) -> tuple[Scoring, MemoryTransactions]:
    """A worker whose group has begun, and that commits when the clock is set on."""
    sink = MemoryTransactions(made.broker, "a")
    worker = made.scorer(sink, BatchPolicy(batch_max, batch_max), commit_interval_ms=COMMIT_MS)
    worker.loop.step()
    return worker, sink


def commit(made: Bench, worker: Scoring) -> None:
    made.clock.ms += COMMIT_MS
    worker.loop.step()


def see_through(made: Bench, worker: Scoring) -> None:
    for _ in range(STEPS_MAX):
        commit(made, worker)
        if not lag(worker.source) and not worker.loop.in_flight:
            return
    raise AssertionError("it does not settle")


def answers(predictions: list[dict[str, Any]]) -> dict[str, dict[str, float | None]]:
    """The features of each event that were served with all that was known."""
    whole = [p for p in predictions if not MAY_LACK & set(p["degradations"])]
    return {p["event_id"]: p["features"] for p in whole}


def answered_at_once(events: Events) -> list[dict[str, Any]]:
    with bench(partitions=PARTITIONS) as made:
        produce(made, events)
        made.materializer().take(1)
        worker, _ = scoring(made, len(events))
        see_through(made, worker)
        return made.predictions()


@given(
    events=EVENTS,
    materialized=st.integers(1, 6),
    refusals=st.integers(0, 1),
    batch_max=st.integers(1, 5),
    steps=st.lists(st.integers(1, 4), max_size=4),
    cause=st.sampled_from(AbortCause),
)
@settings(max_examples=20)
def test_after_an_abort_every_event_is_answered_and_every_value_is_that_of_a_run_without_it(
    events: Events, materialized: int, refusals: int, batch_max: int, steps: list[int], cause: AbortCause
) -> None:
    with bench(partitions=PARTITIONS) as made:
        produce(made, events)
        made.materializer().take(materialized)
        made.store.refusals = refusals  # progress is learned with the first batch then, in a transaction
        worker, sink = scoring(made, batch_max)
        for count in steps:
            for _ in range(count):
                worker.loop.step()
            sink.refusal = Aborted(cause, "told to") if worker.loop.in_flight else None
            commit(made, worker)
        see_through(made, worker)
        assert made.predicted() == made.events()
        found, wanted = answers(made.predictions()), answers(answered_at_once(events))
        assert refusals or len(found) == len(wanted) == len(events)
        assert found == {name: wanted[name] for name in found}


def test_an_aborted_transaction_leaves_nothing_of_it_in_the_overlay_and_keeps_what_stood_before() -> None:
    with bench(partitions=PARTITIONS) as made:
        made.produce_some(3)
        worker, sink = scoring(made, 10)
        worker.loop.step()
        commit(made, worker)
        held = worker.overlay.size_bytes
        made.produce_some(2)
        worker.loop.step()
        assert worker.overlay.size_bytes > held > 0
        sink.refusal = Aborted(AbortCause.REFUSED, "told to")
        made.clock.ms += COMMIT_MS
        worker.source.pause()
        worker.loop.step()
        assert worker.overlay.size_bytes == held
        assert len(made.predictions()) == 3
        assert made.committed() == {0: 3, 1: 0}
        worker.source.resume()
        worker.loop.step()
        commit(made, worker)
        assert worker.overlay.size_bytes > held
        assert made.predicted() == made.events()
