"""The published transactions over real servers, through two materialize processes and a score process.

A week of them with all before it as history, compared with the published features of that week; and all
of them from the first on, compared with an independent computation too.
"""

from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from benchmarks.rolling import rolling_features
from features.arrays import Floats, Ints
from stream.demo.served import Prediction
from stream.demo.transactions import HANDBOOK_COLUMNS, read_transactions
from tests.integration.cards import PARTITIONS, TEXT, Cards, Expect
from tests.integration.processes import run_riverrun
from tests.integration.stage import Stage
from tests.published import TEST_WEEK, TRAIN_WEEK, TRANSACTIONS, assert_as_published

EVERYTHING = "transactions.parquet"
VERY_FIRST_DAY = "2018-04-01"
FIRST_DAY = "2018-06-18"
"""Of the shorter file."""
PATIENT_READS = "redis.deadline_ms=5000"
"""All that runs here shares a few cores: a pause of the scheduler is not to pass for a fault of Redis."""
WEEK = "2018-08-08", "2018-08-15"


@pytest.fixture
def cards(kafka: str, redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path) -> Iterator[Stage]:
    name = fresh_name("cards").replace("-", "_")
    made = Stage(name, kafka, redis_url, tmp_path, PARTITIONS, TEXT)
    yield made
    made.close()


@pytest.mark.data
@pytest.mark.slow
def test_the_published_week_is_served_as_published(cards: Stage, data: Path, tmp_path: Path) -> None:
    table = read_transactions(data / TRANSACTIONS, cards.definition)
    known, week = before(table, WEEK[0]), before(table, WEEK[1]).slice(len(before(table, WEEK[0])))
    history = tmp_path / "known.parquet"
    pq.write_table(known, history)
    train(cards, history)
    since = f"materialize.complete_since={ms(FIRST_DAY)}"
    cards.backfill(history, since)
    weeks = Weeks(cards.definition.feature_names, data, (TEST_WEEK,))

    def expect(ids: Ints, features: Floats, predictions: Sequence[Prediction]) -> None:
        assert not any(prediction.degradations for prediction in predictions)
        weeks.take(ids, features)

    serve(cards, week, expect, since)
    weeks.assert_as_published()


@pytest.mark.data
@pytest.mark.parity
def test_every_published_transaction_is_served_as_an_independent_computation_says(
    cards: Stage, data: Path, tmp_path: Path
) -> None:
    recent = tmp_path / "recent.parquet"
    pq.write_table(read_transactions(data / TRANSACTIONS, cards.definition), recent)
    train(cards, recent)
    table = read_transactions(data / EVERYTHING, cards.definition)
    names = cards.definition.feature_names
    expected = independent(data / EVERYTHING, names)
    tolerance = np.array([1e-9 if "amount" in name else 0.0 for name in names])
    weeks = Weeks(names, data, (TRAIN_WEEK, TEST_WEEK))
    since, reach = ms(VERY_FIRST_DAY), cards.definition.retention

    def expect(ids: Ints, features: Floats, predictions: Sequence[Prediction]) -> None:
        for prediction in predictions:
            # What is called cold is as exact as the rest: before the first day there was nothing.
            cold = prediction.event_time - reach < since
            assert prediction.degradations == (("cold",) if cold else ()), prediction
        differs = ~(np.abs(features - expected[ids]) <= tolerance)
        assert not differs.any(), [(ids[row], names[at]) for row, at in np.argwhere(differs).tolist()]
        weeks.take(ids, features)

    serve(cards, table, expect, f"materialize.complete_since={since}")
    weeks.assert_as_published()


def independent(file: Path, names: Sequence[str]) -> Floats:
    """The features of every published transaction, whose ids count from 0, without any code of riverrun."""
    frame = pd.read_parquet(file, columns=list(HANDBOOK_COLUMNS)).rename(columns=HANDBOOK_COLUMNS)
    found: Floats = rolling_features(frame)[list(names)].to_numpy(np.float64)
    return found


class Weeks:
    """What was served of the weeks whose features are published."""

    def __init__(self, names: Sequence[str], data: Path, files: Sequence[str]) -> None:
        self._names = names
        self._files = [data / file for file in files]
        columns = [pq.read_table(file, columns=["TRANSACTION_ID"]).column(0) for file in self._files]
        self._ids = [column.to_numpy() for column in columns]
        self._found: list[list[tuple[Ints, Floats]]] = [[] for _ in files]

    def take(self, ids: Ints, features: Floats) -> None:
        for published, found in zip(self._ids, self._found, strict=True):
            there = np.isin(ids, published)
            found.append((ids[there], features[there]))

    def assert_as_published(self) -> None:
        for file, found in zip(self._files, self._found, strict=True):
            ids = np.concatenate([of for of, _ in found])
            features = np.concatenate([of for _, of in found])
            columns = {name: features[:, at] for at, name in enumerate(self._names)}
            assert_as_published([str(one) for one in ids.tolist()], columns, file)


def serve(stage: Stage, table: pa.Table, expect: Expect, *sets: str) -> None:
    workers = [stage.start("score", PATIENT_READS), *(stage.start("materialize", *sets) for _ in range(2))]
    for worker in workers:
        worker.await_ready()
    run = Cards(stage, table, expect)
    try:
        run.run()
    finally:
        run.close()
    assert all(worker.metrics().total("entries_appended_total") > 0 for worker in workers[1:])
    for worker in workers:
        worker.ask_to_end()
    assert [worker.await_end() for worker in workers] == [0] * len(workers)


def train(stage: Stage, history: Path) -> None:
    """A champion: what it answers is none of these tests' business."""
    days = ("--from", "2018-07-25", "--to", "2018-08-01")
    where = ("--usecase", str(stage.usecase), "--data", str(history), "--models", str(stage.models))
    run_riverrun("train", *where, *days, "--deploy")


def before(table: pa.Table, day: str) -> pa.Table:
    return table.filter(pc.less(table["event_time"], pa.scalar(ms(day), pa.timestamp("ms", tz="UTC"))))


def ms(day: str) -> int:
    return int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp()) * 1000
