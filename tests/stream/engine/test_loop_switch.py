"""Score workers that move to other rows while events flow: none is lost, doubled or scored with less."""

from collections.abc import Iterator

import numpy as np
import pytest

from stream.engine.batch import BatchPolicy
from tests.stream.engine.bench import LABELLED, LABELS, Bench, bench
from tests.stream.engine.sinks import LateSink
from tests.stream.engine.switching import LONG, PARTITIONS, SHORT, assert_exact, beside, features, together


@pytest.fixture
def short() -> Iterator[Bench]:
    with bench(SHORT) as made:
        yield made


@pytest.fixture
def long(short: Bench) -> Iterator[Bench]:
    other = beside(short, LONG)
    yield other
    other.close()


def filled(made: Bench, records_max: int = 1_000) -> None:
    made.materializer(group=f"fill-{made.definition.fingerprints.state[:6]}").settle(records_max)


# ------------------------------------------------------------------------------------------ the switch


def test_what_lies_between_the_new_rows_progress_and_the_position_is_read_again_and_not_scored(
    short: Bench, long: Bench
) -> None:
    filled(short)
    filler = long.materializer(group="new")
    short.produce_some(9)
    filler.worker.step(4, 0)
    worker = short.scorer()
    worker.settle()
    worker.loop.serve(long.serving())
    short.produce_some(3)
    worker.settle()
    assert short.predicted() == short.events()
    assert features(long).keys() == {(0, 9), (0, 10), (0, 11)}
    assert_exact(long)


def test_features_after_the_switch_are_those_of_a_worker_that_began_with_the_new_definition(
    short: Bench, long: Bench
) -> None:
    filled(short)
    long.materializer(group="new").worker.step(0, 0)
    short.produce_some(20)
    worker = short.scorer(batch=BatchPolicy(7, 7))
    worker.settle()
    worker.loop.serve(long.serving())
    short.produce_some(20)
    worker.settle()
    switched = {origin: values for origin, values in features(long).items() if origin[1] >= 20}
    assert len(switched) == 20
    with bench(LONG) as alone:
        filled(alone)
        began = alone.scorer()
        alone.produce_some(40)
        began.settle()
        for origin, values in features(alone).items():
            if origin in switched:
                np.testing.assert_array_equal(switched[origin], values)


def test_commits_go_on_from_batches_in_flight_and_never_move_back(short: Bench, long: Bench) -> None:
    filled(short)
    long.materializer(group="new").worker.step(0, 0)
    sink = LateSink(short.broker)
    worker = short.scorer(sink, batch=BatchPolicy(5, 5))
    short.produce_some(10)
    worker.loop.step()
    sink.late_ms = 10_000
    worker.loop.step()
    assert (worker.loop.in_flight, short.committed()) == (2, {0: 0})
    worker.loop.serve(long.serving())
    short.produce_some(5)
    committed = [short.committed()[0]]
    for _ in range(2):
        worker.loop.step()
        committed.append(short.committed()[0])
    sink.late_ms = 0
    while len(short.predictions()) < 15 or worker.loop.in_flight:
        worker.loop.step()
        committed.append(short.committed()[0])
    worker.settle()
    assert committed == sorted(committed)
    assert short.committed() == {0: 15}
    assert short.predicted() == short.events()
    assert_exact(long)


def test_a_worker_that_was_still_reading_again_scores_nothing_twice_when_it_switches(
    short: Bench, long: Bench
) -> None:
    for made in (short, long):
        made.materializer(group=f"new-{made.definition.fingerprints.state[:6]}").worker.step(0, 0)
    short.produce_some(20)
    first = short.scorer()
    first.settle()
    first.loop.drain(0)
    first.source.close()
    second = short.scorer(batch=BatchPolicy(5, 5))
    second.loop.step()
    assert not second.ownership.caught_up(second.source.lag())
    second.loop.serve(long.serving())
    short.produce_some(5)
    second.settle()
    assert second.ownership.caught_up(second.source.lag())
    assert short.predicted() == short.events()
    assert_exact(long)


def test_partitions_that_come_after_the_switch_are_read_for_the_new_rows() -> None:
    with bench(SHORT, PARTITIONS) as short:
        long = beside(short, LONG)
        filled(short)
        long.materializer(group="new").worker.step(0, 0)
        workers = [short.scorer(), short.scorer()]
        for p in range(PARTITIONS):
            short.produce_some(6, p)
        together(workers)
        leaver, stays = workers
        stays.loop.serve(long.serving())
        stays.loop.step()
        leaver.loop.drain(0)
        leaver.source.close()
        for p in range(PARTITIONS):
            short.produce_some(6, p)
        stays.settle()
        assert short.predicted() == short.events()
        late = {origin for origin in features(long) if origin[1] >= 6}
        assert late == {(p, offset) for p in range(PARTITIONS) for offset in range(6, 12)}
        assert_exact(long)


def test_where_the_new_rows_progress_cannot_be_read_answers_say_so_and_the_next_are_exact(
    short: Bench, long: Bench
) -> None:
    filled(short)
    long.materializer(group="new").worker.step(0, 0)
    worker = short.scorer()
    short.produce_some(6)
    worker.settle()
    short.store.refusals = 1
    worker.loop.serve(long.serving())
    short.produce_some(1)
    worker.settle()
    assert "overlay_truncated" in short.predictions()[6]["degradations"]
    short.produce_some(5)
    worker.settle()
    assert short.predicted() == short.events()
    assert features(long).keys() == {(0, offset) for offset in range(7, 12)}
    assert_exact(long)


def test_what_retention_deleted_is_passed_over_and_said(short: Bench, long: Bench) -> None:
    filled(short)
    long.materializer(group="new").worker.step(0, 0)
    worker = short.scorer()
    short.produce_some(6)
    worker.settle()
    short.broker.delete_before("visits.events", 0, 4)
    worker.loop.serve(long.serving())
    short.produce_some(1)
    worker.settle()
    assert short.predicted() == [(0, offset) for offset in range(7)]
    assert "overlay_truncated" in short.predictions()[6]["degradations"]


def test_a_definition_that_begins_to_read_labels_waits_for_their_partitions(one: Bench) -> None:
    labelled = beside(one, LABELLED)
    for made in (one, labelled):
        filled(made)
    worker = one.scorer()
    worker.settle()
    worker.loop.serve(labelled.serving())
    one.produce_some(1)
    worker.settle()
    assert "rebuilding" in one.predictions()[-1]["degradations"], "nobody materializes labels"
    labelled.materializer(group="labels", topic=LABELS).settle()
    one.produce_some(1)
    worker.settle()
    assert "rebuilding" not in one.predictions()[-1]["degradations"]
