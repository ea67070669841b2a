"""Where partitions are read from, and from where on they are answered."""

from collections.abc import Iterator

import numpy as np
import pytest

from features.progress import ALWAYS, Progress, encode_progress
from stream.engine import ownership
from stream.engine.overlay import Overlay
from stream.engine.ownership import Ownership
from stream.records import RecordBatch
from stream.transport.endpoints import PartitionLag
from tests.stream.engine.bench import LABELLED, Bench, bench
from tests.stream.engine.contents import EVENTS
from tests.stream.engine.workers import Scoring


@pytest.fixture
def made() -> Iterator[Bench]:
    with bench(partitions=4) as four:
        yield four


@pytest.fixture
def worker(made: Bench) -> Scoring:
    return made.scorer()


def materialized(made: Bench, offsets: dict[int, int]) -> None:
    store = made.store.connect()
    store.put_if_absent(made.namespace.epoch(), b"e")
    for partition, offset in offsets.items():
        progress = Progress(
            epoch="e", offset=offset, log_end=offset, event_time=0, complete_since=ALWAYS, written_at=0
        )
        store.advance(made.namespace.progress(EVENTS, partition), encode_progress(progress))


def records(places: list[tuple[int, int]]) -> RecordBatch:
    return RecordBatch(
        topic=EVENTS,
        partitions=np.array([partition for partition, _ in places]),
        offsets=np.array([offset for _, offset in places]),
        timestamps=np.zeros(len(places), np.int64),
        keys=[None] * len(places),
        values=[b""] * len(places),
        headers=lambda _: [],
    )


def test_a_partition_is_read_from_progress_or_commit_whichever_is_smaller(
    made: Bench, worker: Scoring
) -> None:
    materialized(made, {0: 5, 1: 50, 3: 0})
    assert worker.ownership.took({0: 20, 1: 20, 3: 7}) == {0: 5, 1: 20, 3: 0}
    assert worker.ownership.owned == {0, 1, 3}
    assert worker.overlay.truncated({0: 5, 1: 50, 3: 0}) == set()


def test_what_nobody_knows_to_be_materialized_may_be_missing_until_it_is(
    made: Bench, worker: Scoring
) -> None:
    materialized(made, {0: 5})
    assert worker.ownership.took({0: 9, 2: 7}) == {0: 5, 2: 7}
    assert worker.overlay.truncated({0: 5, 2: 6}) == {2}
    assert worker.overlay.truncated({0: 5, 2: 7}) == set()


def test_what_the_store_held_when_asked_and_lost_since_may_be_missing(made: Bench, worker: Scoring) -> None:
    materialized(made, {0: 5})
    worker.ownership.took({0: 9})
    assert worker.overlay.truncated({0: 5}) == set()
    assert worker.overlay.truncated({0: 4}) == {0}


def test_progress_that_could_not_be_read_is_learned_once_of_partitions_still_in_hand(
    made: Bench, worker: Scoring
) -> None:
    made.store.refusals = 1
    assert worker.ownership.took({0: 9, 1: 9, 2: 9, 3: 9}) == dict.fromkeys(range(4), 9)
    assert worker.overlay.truncated(dict.fromkeys(range(4), 8)) == {0, 1, 2, 3}
    worker.ownership.gave({1})
    reached, positions = {0: 5, 1: 5, 3: 50}, {0: 12, 2: 12, 3: 12}
    needed = worker.ownership.needs_progress
    assert worker.ownership.learned(reached, positions) == {0: 5}
    assert (needed, worker.ownership.needs_progress) == (True, False)
    assert worker.overlay.truncated({0: 5, 2: 8, 3: 50}) == {2}, "of 2 nobody knows anything"
    answered = worker.ownership.to_score(records([(0, 11), (0, 12), (3, 11), (3, 12), (2, 9)]))
    assert answered.tolist() == [False, True, False, True, True]
    assert worker.ownership.learned(reached, positions) == {}


def test_rows_of_another_definition_are_read_from_their_own_progress(made: Bench, worker: Scoring) -> None:
    materialized(made, {0: 9, 1: 9})
    worker.ownership.took({0: 9, 1: 9})
    with bench(LABELLED, 4) as other:
        other.store = made.store
        materialized(other, {0: 3, 1: 20})
    assert worker.ownership.moves_to(LABELLED, {0: 12, 1: 7}) == {0: 3}
    assert worker.ownership.namespace == other.namespace
    assert worker.ownership.to_score(records([(0, 11), (0, 12), (1, 8), (1, 9)])).tolist() == [
        False,
        True,
        False,
        True,
    ]


def test_only_so_much_is_read_again_and_the_rest_may_be_missing(
    made: Bench, worker: Scoring, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ownership, "REPLAY_RECORDS_MAX", 100)
    materialized(made, {0: 0, 1: 0})
    assert worker.ownership.took({0: 100, 1: 250}) == {0: 0, 1: 150}
    assert worker.overlay.truncated({0: 0, 1: 149}) == {1}
    assert worker.overlay.truncated({0: 0, 1: 150}) == set()


def test_records_before_the_commit_are_not_answered_and_never_committed(made: Bench, worker: Scoring) -> None:
    materialized(made, {0: 0, 1: 3})
    worker.ownership.took({0: 4, 1: 3})
    assert worker.ownership.to_score(records([(0, 3), (0, 4), (1, 3), (0, 5)])).tolist() == [
        False,
        True,
        True,
        True,
    ]
    assert worker.ownership.committable({0: 4, 1: 4}) == {1: 4}
    assert worker.ownership.committable({0: 5}) == {0: 5}


def test_it_has_caught_up_when_every_partition_is_where_the_group_stood(made: Bench, worker: Scoring) -> None:
    materialized(made, {0: 2, 1: 2})
    worker.ownership.took({0: 4, 1: 2})
    assert not worker.ownership.caught_up({0: PartitionLag(3, 9), 1: PartitionLag(2, 9)})
    assert worker.ownership.caught_up({0: PartitionLag(4, 9), 1: PartitionLag(2, 9)})
    worker.ownership.gave({0})
    assert worker.ownership.owned == {1}
    assert worker.ownership.caught_up({1: PartitionLag(2, 9)})


def test_no_partitions_are_an_answer_too(made: Bench) -> None:
    worker = made.scorer()
    own = Ownership(EVENTS, made.namespace, worker.reads, Overlay(made.definition, 1_000))
    assert own.took({}) == {}
    assert own.owned == frozenset()
