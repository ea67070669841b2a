"""The features of the published transactions: as published, and as pandas computes them independently."""

from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from benchmarks.rolling import rolling_features
from features.arrays import Floats, Ints
from features.definition import load_definition
from features.past.history import history_from_table
from features.past.offline import build_training_set
from stream.demo.examples import path as example
from stream.demo.transactions import HANDBOOK_COLUMNS, read_transactions
from stream.workers.build import SLICE_ROWS, Span, build_files
from tests.published import COLUMNS, TEST_WEEK, TRAIN_WEEK, TRANSACTIONS, assert_as_published

DAY = 86_400_000


@pytest.mark.data
@pytest.mark.parametrize(("file", "first_day"), [(TRAIN_WEEK, "2018-07-25"), (TEST_WEEK, "2018-08-08")])
def test_offline_features_equal_the_published_ones(data: Path, file: str, first_day: str) -> None:
    definition = load_definition(example("fraud"))
    table = read_transactions(data / TRANSACTIONS, definition)
    start = int(np.datetime64(first_day, "ms").astype(np.int64))
    built = build_training_set(definition, history_from_table(definition, table), start, start + 7 * DAY)
    features = {name: built.matrix[:, at] for at, name in enumerate(definition.feature_names)}
    assert_as_published(built.events.ids, features, data / file)


def built(table: pa.Table, folder: Path, slice_rows: int) -> tuple[Ints, dict[str, Floats]]:
    """What `riverrun features build` makes of the transactions: ids and features, in the order of ids."""
    definition = load_definition(example("fraud"))
    source, out = folder / "transactions.parquet", folder / "features.parquet"
    pq.write_table(table, source)
    span = Span.read(definition, "2018-04-01", "2018-10-01")
    build_files(span, [source], out, {}, Console(file=StringIO()), slice_rows)
    found = pq.read_table(out).sort_by("event.time")
    ids = found.column("event.id").to_numpy().astype(np.int64)
    order = np.argsort(ids)
    return ids[order], {name: found.column(name).to_numpy()[order] for name in definition.feature_names}


def assert_as_pandas(table: pa.Table, folder: Path, slice_rows: int) -> dict[str, Floats]:
    """Counts and risks to the bit; means within what rolling sums lose."""
    ids, features = built(table, folder, slice_rows)
    independent = rolling_features(table.to_pandas())
    np.testing.assert_array_equal(ids, independent["transaction_id"])
    assert features.keys() == COLUMNS.keys()
    for name, ours in features.items():
        tolerance = 1e-9 if "amount" in name else 0.0
        theirs = independent[name].to_numpy()
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance, err_msg=name)
    return features


def transactions(file: Path) -> pa.Table:
    return pq.read_table(file, columns=list(HANDBOOK_COLUMNS)).rename_columns(HANDBOOK_COLUMNS)


@pytest.mark.data
def test_some_customers_have_the_features_that_pandas_computes(data: Path, tmp_path: Path) -> None:
    """At a hundredth of the terminals, so that these stay as busy as they are."""
    table = transactions(data / TRANSACTIONS)
    table = table.filter(pa.array(table.column("customer_id").to_numpy() < 100))
    fewer = pa.array(table.column("terminal_id").to_numpy() % 100)
    table = table.set_column(table.column_names.index("terminal_id"), "terminal_id", fewer)
    assert table.num_rows > 10_000
    assert_as_pandas(table, tmp_path, 3_000)


@pytest.mark.data
@pytest.mark.parity
def test_every_transaction_has_the_features_that_pandas_computes(data: Path, tmp_path: Path) -> None:
    table = transactions(data / "transactions.parquet")
    features = assert_as_pandas(table, tmp_path, SLICE_ROWS)
    ids = table.column("transaction_id").to_numpy()
    days = table.column("event_time").to_numpy().astype("datetime64[D]")
    for file, first_day in ((TRAIN_WEEK, "2018-07-25"), (TEST_WEEK, "2018-08-08")):
        first = np.datetime64(first_day)
        week = (days >= first) & (days < first + np.timedelta64(7, "D"))
        of_week = {name: column[week] for name, column in features.items()}
        assert_as_published([str(i) for i in ids[week].tolist()], of_week, data / file)
