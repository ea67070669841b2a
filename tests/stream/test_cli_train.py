"""`riverrun train`: from parquet files to a bundle in force."""

import datetime as dt
import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.definition import load_definition
from features.past.history import HistoryError
from models.bundle import load_bundle
from models.deployment import Deployment, read_deployment
from models.training.run import TrainingError
from stream.errors import ExitCode
from stream.workers.tables import read_tables
from stream.workers.train import TrainRequest, parse_moment, run

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
FRAUD = EXAMPLES / "fraud" / "usecase.yaml"
MAINTENANCE = EXAMPLES / "maintenance" / "usecase.yaml"
DAYS = 24
PER_DAY = 100


def history(first_day: int, last_day: int) -> pa.Table:
    """Card transactions: above 200 they are fraud."""
    draw = random.Random(first_day)
    n = (last_day - first_day) * PER_DAY
    start = dt.datetime(2024, 1, 1, tzinfo=dt.UTC) + dt.timedelta(days=first_day)
    amounts = [draw.expovariate(1 / 80) for _ in range(n)]
    return pa.table(
        {
            "transaction_id": [f"{first_day}-{i}" for i in range(n)],
            "event_time": [start + dt.timedelta(days=i / PER_DAY) for i in range(n)],
            "customer_id": [str(draw.randrange(40)) for _ in range(n)],
            "terminal_id": [str(draw.randrange(60)) for _ in range(n)],
            "amount": amounts,
            "is_fraud": [int(amount > 200) for amount in amounts],
        }
    )


@pytest.fixture
def request_(tmp_path: Path) -> TrainRequest:
    """Two files of history, twelve days of which train."""
    files = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    pq.write_table(history(0, 10), files[0])
    pq.write_table(history(10, DAYS), files[1])
    return TrainRequest(
        usecase=FRAUD,
        data=files,
        start="2024-01-02",
        end="2024-01-14",
        models=tmp_path / "models",
        version="first",
        seed=3,
        deploy=True,
    )


def test_files_become_a_bundle_in_force_and_a_report(
    request_: TrainRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(request_) == ExitCode.OK
    assert read_deployment(request_.models) == Deployment("first", None)
    bundle = load_bundle(request_.models / "first")
    out = capsys.readouterr().out
    assert f"history: {DAYS * PER_DAY:,} events" in out
    assert bundle.digest in out
    assert "roc_auc" in out
    assert "champion: first" in out


def test_without_deploy_nothing_is_put_in_force(request_: TrainRequest) -> None:
    quiet = TrainRequest(
        request_.usecase, request_.data, request_.start, request_.end, request_.models, None, 3, False
    )
    run(quiet)
    assert not (request_.models / "deployment.json").exists()
    assert len(list(request_.models.iterdir())) == 1


def test_a_time_that_ends_before_it_begins_is_refused(request_: TrainRequest) -> None:
    turned = TrainRequest(
        request_.usecase, request_.data, request_.end, request_.start, request_.models, None, 3, False
    )
    with pytest.raises(TrainingError, match="--to 2024-01-02 is not after --from 2024-01-14"):
        run(turned)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-02", 86_400_000),
        ("1970-01-01T00:00:01", 1_000),
        ("1970-01-01T01:00:00+01:00", 0),
        ("1970-01-01T00:00:00.5Z", 500),
    ],
)
def test_a_moment_is_a_date_or_a_time_in_utc(text: str, moment: int) -> None:
    assert parse_moment(load_definition(FRAUD), text) == moment


def test_without_a_clock_a_moment_is_a_number_of_the_sequence() -> None:
    definition = load_definition(MAINTENANCE)
    assert parse_moment(definition, "100") == 100
    with pytest.raises(TrainingError, match="is not a number"):
        parse_moment(definition, "2024-01-01")


def test_what_is_no_moment_is_refused() -> None:
    with pytest.raises(TrainingError, match="neither a date nor an ISO 8601 time"):
        parse_moment(load_definition(FRAUD), "yesterday")


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"none\.parquet cannot be read: No such file"):
        read_tables((tmp_path / "none.parquet",))
    (tmp_path / "text.parquet").write_text("a,b\n1,2\n")
    with pytest.raises(HistoryError, match=r"text\.parquet is not a parquet file"):
        read_tables((tmp_path / "text.parquet",))


def test_files_whose_columns_differ_in_kind_are_named(tmp_path: Path) -> None:
    paths = (tmp_path / "a.parquet", tmp_path / "b.parquet")
    pq.write_table(pa.table({"amount": [1.5]}), paths[0])
    pq.write_table(pa.table({"amount": ["x"]}), paths[1])
    with pytest.raises(HistoryError, match=r"a\.parquet, .*b\.parquet do not hold the same columns"):
        read_tables(paths)
