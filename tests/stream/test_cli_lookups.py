"""Lookups on the command line: loading them, and training with their past."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.lookup.codec import decode_lookups
from features.lookup.table import LookupTableError
from features.past.history import HistoryError
from features.stores.redis import RedisOptions, RedisStore
from models.bundle import load_bundle
from stream.cli import app
from stream.errors import ConfigurationError, ExitCode
from stream.workers.lookups import read_lookups
from stream.workers.train import TrainRequest, run
from tests.features.lookup_cases import CUSTOMER, DAY_MS, DEFINITION, NOW_MS, TEXT


@pytest.fixture
def customers(tmp_path: Path) -> Path:
    path = tmp_path / "customers.parquet"
    names = [f"c{n}" for n in range(40)]
    table = pa.table(
        {
            "customer": names,
            "credit_limit": [10.0 * n for n in range(40)],
            "segment": ["gold" if n % 2 else "tin" for n in range(40)],
            "born": [1960 + n for n in range(40)],
            "written_at": [NOW_MS] * 40,
        }
    )
    pq.write_table(table, path)
    return path


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    path = tmp_path / "pairs.parquet"
    none: dict[str, pa.DataType] = {"customer": pa.string(), "shop": pa.int64()}
    none |= {"visits": pa.int64(), "written_at": pa.int64()}
    pq.write_table(pa.schema(none).empty_table(), path)
    return path


def test_a_file_is_loaded_into_redis_and_told(
    redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path, customers: Path
) -> None:
    name = fresh_name("cards").replace("-", "_")
    usecase = tmp_path / "usecase.yaml"
    usecase.write_text(TEXT.replace("name: cards", f"name: {name}"))
    flags = ["--usecase", str(usecase), "--redis", redis_url, "--entity"]
    command = ["features", "load", str(customers), *flags]
    done = CliRunner().invoke(app, [*command, "customer", "--ttl", "1h"])
    told = "rows: 40 of 40\ncustomer: 40 values written\n"
    assert (done.exit_code, done.output) == (ExitCode.OK, told)
    store = RedisStore.connect(RedisOptions(redis_url))
    keys = [f"rr:{name}:lookup:customer:c{n}".encode() for n in range(40)]
    found = decode_lookups(CUSTOMER, store.read(keys))
    store.close()
    assert found.values[:, 0].tolist() == [10.0 * n for n in range(40)]
    for span in ("soon", "0d", "3 events"):
        refused = CliRunner().invoke(app, [*command, "customer", "--ttl", span])
        assert refused.exit_code == ExitCode.CONFIGURATION
        assert "is no span of time; write such as 30d or 12h" in refused.output
    other = CliRunner().invoke(app, [*command, "shop"])
    assert isinstance(other.exception, LookupTableError)


def test_every_flag_that_is_wrong_or_lacking_is_told_at_once(customers: Path) -> None:
    with pytest.raises(ConfigurationError) as raised:
        read_lookups(DEFINITION, ["customer", f"shop={customers}", "=x"])
    assert [str(problem).split("; ")[1] for problem in raised.value.problems] == [
        "write such as customer=FILE",
        "the entities with lookups: customer, pair",
        "write such as customer=FILE",
        "give --lookups customer=FILE",
        "give --lookups pair=FILE",
    ]


def test_the_files_of_an_entity_are_read_as_one(tmp_path: Path, customers: Path, pairs: Path) -> None:
    later = pq.read_table(customers).slice(0, 1)
    pq.write_table(later.set_column(4, "written_at", pa.array([NOW_MS + 1])), tmp_path / "later.parquet")
    given = [f"customer={customers}", f"customer={tmp_path / 'later.parquet'}", f"pair={pairs}"]
    found = read_lookups(DEFINITION, given)
    assert found["customer"].held.written_at[:2].tolist() == [NOW_MS, NOW_MS + 1]
    assert len(found["pair"].numbers) == 0


def test_a_mistake_names_the_file(tmp_path: Path, customers: Path, pairs: Path) -> None:
    with pytest.raises(LookupTableError, match=r"customers\.parquet: the table lacks the columns shop"):
        read_lookups(DEFINITION, [f"customer={customers}", f"pair={customers}"])
    with pytest.raises(HistoryError, match="cannot be read"):
        read_lookups(DEFINITION, [f"customer={tmp_path / 'none'}", f"pair={pairs}"])


def test_a_model_is_trained_on_what_was_looked_up(tmp_path: Path, customers: Path, pairs: Path) -> None:
    draw, n = np.random.default_rng(0), 1_000
    customer = draw.integers(0, 40, n)
    history = pa.table(
        {
            "id": [f"e{at}" for at in range(n)],
            "at": pa.array(NOW_MS + np.sort(draw.integers(0, 10 * DAY_MS, n)), pa.timestamp("ms")),
            "customer": [f"c{at}" for at in customer],
            "shop": draw.integers(0, 5, n),
            "amount": draw.integers(1, 100, n).astype(float),
            "bad": (customer > 20).astype(float),
        }
    )
    (tmp_path / "usecase.yaml").write_text(TEXT)
    pq.write_table(history, tmp_path / "history.parquet")
    request = TrainRequest(
        usecase=tmp_path / "usecase.yaml",
        data=(tmp_path / "history.parquet",),
        start="2023-11-15",
        end="2023-11-24",
        models=tmp_path / "models",
        version="v1",
        seed=0,
        deploy=False,
        lookups=(f"customer={customers}", f"pair={pairs}"),
    )
    assert run(request) == ExitCode.OK
    bundle = load_bundle(tmp_path / "models" / "v1")
    limits = bundle.golden[:, bundle.definition.feature_names.index("customer_credit_limit")]
    segments = bundle.golden[:, bundle.definition.feature_names.index("customer_segment")]
    assert set(limits) <= {10.0 * number for number in range(40)}
    assert set(segments) == {1.0, 2.0}
    assert bundle.scorer.predict(bundle.golden)[limits > 200].min() > 0.9
