"""A poll that is answered in parts, each read while the one before is scored: what may happen in between."""

from typing import Any

import msgspec
import pytest

from features.definition import parse_definition
from stream.engine.batch import BatchPolicy
from stream.engine.breaker import BreakerState
from stream.engine.rejects import RejectLimit
from stream.errors import AbortCause, Aborted, Fatal
from stream.transport.memory import MemoryTransactions
from tests.stream.engine.bench import OUTPUT, Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.sinks import LateSink
from tests.stream.engine.test_heads import to_layout_1
from tests.stream.engine.workers import START_MS, Scoring
from tests.stream.visits import TEXT

POLL = BatchPolicy(8, 8)


def parted(made: Bench, **options: Any) -> Scoring:
    """A worker that polls eight records and answers two at a time; it has its partitions, and no layout
    before today's.
    """
    made.produce((START_MS - 60_000, "nobody", None, 1.0))
    worker = made.scorer(batch=POLL, events_at_once=2, **options)
    worker.settle()
    return worker


def answer(worker: Scoring) -> None:
    """One poll, and what it gives delivered."""
    assert worker.loop.step()
    worker.sink.flush(0)


def sources(made: Bench) -> list[set[str]]:
    """Of each prediction, what it lacks on the part of the store."""
    return [set(p["degradations"]) - {"no_model", "key_missing"} for p in made.predictions()]


def test_all_of_a_poll_is_answered_in_order_with_a_read_for_each_part(one: Bench) -> None:
    one.materializer().settle()
    worker = parted(one)
    one.produce_some(8)
    tries = one.store.tries
    answer(worker)
    assert one.store.tries - tries == 4
    assert one.predicted() == one.events()
    assert worker.value("riverrun_batch_size_sum") == 1 + 8
    for stage in ("decode", "ask", "read", "enrich", "score", "decide", "encode", "publish"):
        assert worker.value("riverrun_stage_seconds_count", stage=stage) == 1 + 4


def test_a_part_sees_the_events_of_those_before_it(one: Bench) -> None:
    one.materializer().settle()
    worker = parted(one)
    one.produce(*((START_MS + n, "ann", "front", 1.0) for n in range(8)))
    answer(worker)
    counts = [p["features"]["person_count_1000ms"] for p in one.predictions()[1:]]
    assert counts == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


@pytest.mark.parametrize("part", [0, 1, 2, 3])
def test_after_a_read_that_failed_the_store_is_left_alone_for_the_rest_of_the_poll(
    one: Bench, part: int
) -> None:
    one.materializer().settle()
    worker = parted(one)
    one.produce_some(8)

    def refuse() -> None:
        one.store.refusals = 1

    one.store.before_try[one.store.tries + part + 1] = refuse
    answer(worker)
    assert one.predicted() == one.events()
    assert sources(one)[1:] == [set()] * (2 * part) + [{"store_down"}] * (8 - 2 * part)
    assert worker.value("riverrun_store_errors_total", cause="store_down") == 1
    assert worker.reads.state is BreakerState.CLOSED, "one poll, one failure"
    one.produce_some(3)
    answer(worker)
    assert sources(one)[9:] == [set()] * 3, "the next one asks again, and nothing is missing"
    assert [p["features"]["person_count_1000ms"] for p in one.predictions()[9:]] == [3.0, 4.0, 4.0]


def test_three_polls_that_fail_open_the_breaker_and_one_probe_closes_it(one: Bench) -> None:
    one.materializer().settle()
    worker = parted(one)
    one.store.refusals = 1_000
    states = []
    for _ in range(3):
        one.produce_some(8)
        answer(worker)
        states.append(worker.reads.state)
    assert states == [BreakerState.CLOSED, BreakerState.CLOSED, BreakerState.OPEN]
    one.store.refusals = 0
    one.produce_some(8)
    tries = one.store.tries
    answer(worker)
    assert one.store.tries == tries, "it rests"
    one.clock.ms += 1_000
    one.produce_some(8)
    answer(worker)
    assert sources(one)[-8:] == [set()] * 8, "the probe's success is known before the others are asked for"


def test_a_part_whose_read_began_before_the_layout_before_was_known_is_read_again() -> None:
    with bench() as made:
        made.produce(*((START_MS + n, "ann", None, 1.0) for n in range(5)))
        made.materializer().settle()
        worker = parted(made)
        to_layout_1(made)
        values, old = made.store.store._values, made.namespace.previous()
        known = msgspec.json.decode(values[old.progress(EVENTS, 0)])
        values[made.namespace.epoch()] = bytearray(b"fresh")
        values[made.namespace.progress(EVENTS, 0)] = bytearray(
            msgspec.json.encode(known | {"epoch": "fresh"})
        )
        values[made.namespace.predecessor()] = bytearray(b"1")
        made.produce(*((START_MS + 5 + n, "ann", None, 1.0) for n in range(8)))
        # The first part's second read comes after the second part's first: by then all is materialized.
        taken: list[bool] = []

        def materialized() -> None:
            taken.append(True)
            made.materializer(group="another").settle()

        made.store.before_try[made.store.tries + 3] = materialized
        answer(worker)
        assert taken
        counts = [p["features"]["person_count_1000ms"] for p in made.predictions()]
        assert counts[-8:] == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]
        assert not any("overlay_truncated" in lacking for lacking in sources(made)[-8:])


def test_an_answer_older_than_one_that_was_taken_in_is_not_used(one: Bench) -> None:
    """With it events would be nowhere: not in its rows yet, and in the overlay no more."""
    one.produce(*((START_MS + n, "ann", None, 1.0) for n in range(3)))
    one.materializer().settle()
    worker = parted(one)
    one.produce(*((START_MS + 3 + n, "ann", None, 1.0) for n in range(2)))
    answer(worker)
    values = one.store.store._values
    values[one.namespace.predecessor()] = bytearray(b"1")  # so that the first part is read twice
    one.produce(*((START_MS + 5 + n, "ann", None, 1.0) for n in range(8)))

    def removed() -> None:
        del values[one.namespace.predecessor()]  # before the second part is read

    def materialized() -> None:
        one.materializer(group="another").settle()  # after it, and before the first part's second read

    one.store.before_try |= {one.store.tries + 2: removed, one.store.tries + 3: materialized}
    answer(worker)
    counts = [p["features"]["person_count_1000ms"] for p in one.predictions()]
    assert counts[-8:] == [6.0, 7.0, 8.0, 9.0, 10.0, 11.0, 12.0, 13.0]
    assert not any("overlay_truncated" in lacking for lacking in sources(one))


def test_too_many_rejects_stop_in_the_middle_and_what_came_before_stands(one: Bench) -> None:
    one.materializer().settle()
    worker = parted(one, rejects=RejectLimit(0.1, 4))
    one.produce_some(4)
    for _ in range(4):
        one.broker.append(EVENTS, b"k", b"no event", [], 0)
    with pytest.raises(Fatal, match="were rejected"):
        worker.loop.step()
    worker.source.close()
    assert one.predicted() == [(0, n) for n in range(5)]
    assert one.dead_letters() == [], "the part that is too much is not published"
    assert one.committed() == {0: 5}


def test_every_part_is_in_flight_by_itself_and_offsets_follow_in_their_order(one: Bench) -> None:
    one.materializer().settle()
    sink = LateSink(one.broker)
    worker = parted(one, sink=sink, in_flight_max=4)
    one.produce_some(10)
    sink.late_ms = float("inf")
    worker.loop.step()
    assert worker.loop.in_flight == 4
    assert one.committed() == {0: 1}
    tries = one.store.tries
    worker.loop.step()
    assert one.store.tries == tries, "while they are, nothing more is fetched"
    sink.late_ms = 0
    worker.settle()
    assert one.committed() == {0: 11}
    assert one.predicted() == one.events()


def test_parts_of_one_transaction_are_passed_again_as_a_whole(one: Bench) -> None:
    one.materializer().settle()
    sink = MemoryTransactions(one.broker, "w")
    worker = parted(one, sink=sink)
    one.produce(*((START_MS + n, "ann", None, 1.0) for n in range(8)))
    sink.refusal = Aborted(AbortCause.REFUSED, "told to")
    worker.settle()
    assert one.predicted() == one.events()
    counts = [p["features"]["person_count_1000ms"] for p in one.predictions()[1:]]
    assert counts == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0], "nothing of the first pass is in the overlay"


def test_what_a_part_learns_late_sends_back_behind_all_of_the_poll(one: Bench) -> None:
    one.produce_some(6)
    materializer = one.materializer()
    materializer.take(3)
    before = one.scorer()
    before.settle()
    before.source.close()
    one.store.refusals = 1
    worker = one.scorer(batch=POLL, events_at_once=2)  # which cannot learn what is materialized
    one.produce(*((START_MS + 10 + n, "p0-0", None, 1.0) for n in range(8)))
    worker.settle()
    assert one.predicted() == one.events()
    one.produce((START_MS + 20, "p0-0", None, 1.0))
    worker.settle()
    last = one.predictions()[-1]
    assert last["features"]["person_count_1000ms"] == 11.0
    assert "overlay_truncated" not in last["degradations"]


def test_a_poll_whose_first_part_is_only_read_again_answers_the_rest_with_it(one: Bench) -> None:
    one.produce(*((START_MS + n, "ann", None, 1.0) for n in range(4)))
    one.materializer().take(0)
    before = one.scorer()
    before.settle()
    before.source.close()
    one.produce(*((START_MS + 4 + n, "ann", None, 1.0) for n in range(4)))
    worker = one.scorer(batch=POLL, events_at_once=3)
    worker.settle()
    assert one.predicted() == one.events()
    counts = [p["features"]["person_count_1000ms"] for p in one.predictions()]
    assert counts == [1.0, 2.0, 3.0, 4.0, 5.0, 6.0, 7.0, 8.0]


def test_a_use_case_without_rows_asks_no_store() -> None:
    lines = [line for line in TEXT.splitlines() if "window:" not in line]
    with bench(parse_definition("\n".join(lines) + "\n" + OUTPUT, "visits.yaml")) as made:
        worker = parted(made)
        made.produce_some(8)
        answer(worker)
        assert made.predicted() == made.events()
        assert worker.value("riverrun_stage_seconds_count", stage="read") == 0
