"""What a score worker asks of the store and of Kafka to know how far rows are."""

from collections.abc import Iterator

import pytest

from features.stores.deadline import DeadlineReader
from stream.engine.filled import RowsReader
from stream.engine.lacking import Lacking
from stream.errors import Retryable
from stream.pipeline.enrich import FreshnessPolicy
from tests.stream.engine.bench import LABELLED, LABELS, VISITS, Bench, bench
from tests.stream.engine.contents import EVENTS


@pytest.fixture
def labelled() -> Iterator[Bench]:
    with bench(LABELLED, partitions=2) as made:
        yield made


class Asking:
    """A reader, and the topics it asked for."""

    def __init__(self, made: Bench) -> None:
        self.asked: list[str] = []
        self.made = made
        self.rows = RowsReader(
            EVENTS,
            LABELS,
            self.partitions_of,
            DeadlineReader(made.store.connect, 60_000),
            FreshnessPolicy(limit=10_000, heartbeat_ms=15_000),
            made.clock,
        )

    def partitions_of(self, topic: str) -> int:
        self.asked.append(topic)
        return len(self.made.broker.logs(topic))


@pytest.fixture
def asking(labelled: Bench) -> Iterator[Asking]:
    made = Asking(labelled)
    yield made
    made.rows.close()


def test_each_definition_is_asked_for_in_its_own_rows(labelled: Bench, asking: Asking) -> None:
    assert asking.rows.lacking(LABELLED, None) == Lacking(absent=4)
    labelled.materializer().settle()
    assert asking.rows.lacking(LABELLED, None) == Lacking(absent=2), "labels are not begun with"
    labelled.materializer(topic=LABELS).settle()
    assert asking.rows.lacking(LABELLED, None).whole
    assert asking.rows.lacking(VISITS, LABELLED) == Lacking(absent=2)


def test_labels_are_asked_for_only_where_windows_read_them(asking: Asking) -> None:
    asking.rows.lacking(VISITS, None)
    assert asking.asked == [EVENTS]
    asking.rows.lacking(LABELLED, None)
    assert asking.asked == [EVENTS, EVENTS, LABELS]


@pytest.mark.parametrize("how", ["refusals", "rejects"])
def test_a_store_that_does_not_say_is_asked_again_another_time(
    labelled: Bench, asking: Asking, how: str
) -> None:
    labelled.materializer().settle()
    setattr(labelled.store, how, 1)
    with pytest.raises(Retryable, match=r"the online store did not say how far rows are: .+"):
        asking.rows.lacking(VISITS, None)
    setattr(labelled.store, how, 0)
    assert asking.rows.lacking(VISITS, None) == Lacking(absent=2)
