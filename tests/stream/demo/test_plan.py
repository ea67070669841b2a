"""Which events are history, which train, and which are sent."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.definition import load_definition
from features.definition.model import Definition
from features.progress import ALWAYS
from models.training.split import group_test_mask
from stream.demo import examples
from stream.demo.machines import Plant, simulate_machines
from stream.demo.options import DemoError, DemoOptions
from stream.demo.plan import DAY_MS, Days, event_times, last_days, midnight, plan_days, plan_groups
from stream.demo.simulators import SIMULATORS, make_plan
from stream.demo.transactions import HANDBOOK_COLUMNS, read_transactions

FIRST = midnight(date(2025, 3, 1))
DAYS = Days(FIRST, FIRST + DAY_MS, FIRST + 8 * DAY_MS, FIRST + 9 * DAY_MS)


@pytest.fixture(scope="module")
def fraud() -> Definition:
    return load_definition(examples.path("fraud"))


@pytest.fixture(scope="module")
def maintenance() -> Definition:
    return load_definition(examples.path("maintenance"))


def cards(times: list[int]) -> pa.Table:
    n = len(times)
    return pa.table(
        {
            "transaction_id": pa.array([f"t{i}" for i in range(n)]),
            "event_time": pa.array(times, pa.timestamp("ms", tz="UTC")),
            "customer_id": pa.array(["c"] * n),
            "terminal_id": pa.array(["s"] * n),
            "amount": pa.array([1.0] * n),
            "is_fraud": pa.array([0] * n),
        }
    )


def hourly(days: int) -> pa.Table:
    return cards([FIRST + hour * 3_600_000 for hour in range(24 * days)])


def test_days_split_history_from_what_is_scored_at_midnight(fraud: Definition) -> None:
    plan = plan_days(fraud, hourly(10), DAYS)
    assert plan.known.num_rows == 8 * 24
    assert event_times(fraud, plan.scored).tolist() == [DAYS.score_from + h * 3_600_000 for h in range(24)]
    assert plan.train == (DAYS.train_from, DAYS.train_to)
    assert plan.in_store
    assert plan.complete_since == FIRST


def test_events_go_out_in_order_of_time_and_those_of_one_time_as_in_the_file(fraud: Definition) -> None:
    table = cards([FIRST, DAYS.score_from + 2, DAYS.score_from + 1, DAYS.score_from + 1])
    plan = plan_days(fraud, table, DAYS)
    assert plan.scored["transaction_id"].to_pylist() == ["t2", "t3", "t1"]


def test_training_on_labels_from_the_future_is_refused_with_the_day_to_choose(fraud: Definition) -> None:
    days = Days(FIRST, FIRST + 5 * DAY_MS, FIRST + 8 * DAY_MS, FIRST + 9 * DAY_MS)
    with pytest.raises(DemoError, match="let --train-to be 2025-03-02 or before"):
        plan_days(fraud, hourly(10), days)


def test_days_without_events_are_named_with_the_flags_and_the_days_there_are(fraud: Definition) -> None:
    later = Days(DAYS.train_from, DAYS.train_to, FIRST + 99 * DAY_MS, FIRST + 100 * DAY_MS)
    with pytest.raises(DemoError, match=r"from 2025-03-01 to 2025-03-10; .*--score-from"):
        plan_days(fraud, hourly(10), later)
    earlier = Days(FIRST - 9 * DAY_MS, FIRST - 8 * DAY_MS, DAYS.score_from, DAYS.score_to)
    with pytest.raises(DemoError, match=r"from 2025-03-01 to 2025-03-10; .*--train-from"):
        plan_days(fraud, hourly(10), earlier)


def test_by_default_the_last_week_is_scored_after_the_labels_delay(fraud: Definition) -> None:
    days = last_days(fraud, hourly(30), (None, None, None, None))
    end = FIRST + 30 * DAY_MS
    assert days == Days(end - 21 * DAY_MS, end - 14 * DAY_MS, end - 7 * DAY_MS, end)


def test_days_that_were_wished_for_stay_and_the_others_follow_them(fraud: Definition) -> None:
    days = last_days(fraud, hourly(30), (None, None, date(2025, 3, 20), date(2025, 3, 22)))
    assert days.score_from == midnight(date(2025, 3, 20))
    assert days.train_to == midnight(date(2025, 3, 13))
    assert days.train_from == midnight(date(2025, 3, 6))


def test_groups_are_split_as_training_splits_them_and_no_machine_is_in_both(maintenance: Definition) -> None:
    table = simulate_machines(Plant(machines=40))
    plan = plan_groups(maintenance, table)
    scored = set(plan.scored["machine_id"].to_pylist())
    assert not scored & set(plan.known["machine_id"].to_pylist())
    keys = table["machine_id"].to_pylist()
    mask = group_test_mask(keys, maintenance.evaluation.test_share)
    assert scored == {key for key, held_out in zip(keys, mask, strict=True) if held_out}


def test_machines_run_side_by_side_from_their_first_cycle(maintenance: Definition) -> None:
    plan = plan_groups(maintenance, simulate_machines(Plant(machines=40)))
    cycles = plan.scored["cycle"].to_numpy()
    assert (np.diff(cycles) >= 0).all()
    assert cycles[0] == 1
    assert not plan.in_store
    assert plan.complete_since == ALWAYS


def test_a_single_group_cannot_be_split(maintenance: Definition) -> None:
    with pytest.raises(DemoError, match="give more than 1 groups"):
        plan_groups(maintenance, simulate_machines(Plant(machines=1)))


@pytest.mark.parametrize("name", ["fraud", "maintenance", "maintenance/remaining_life"])
def test_every_example_has_a_simulator(name: str) -> None:
    assert load_definition(examples.path(name)).name in SIMULATORS


def handbook_file(path: Path, times: list[datetime]) -> Path:
    n = len(times)
    table = pa.table(
        {
            "TRANSACTION_ID": pa.array(range(n), pa.int32()),
            "TX_DATETIME": pa.array(times, pa.timestamp("ms")),
            "CUSTOMER_ID": pa.array([7] * n, pa.int16()),
            "TERMINAL_ID": pa.array([9] * n, pa.int16()),
            "TX_AMOUNT": pa.array([12.34] * n),
            "TX_FRAUD": pa.array([0] * n, pa.int8()),
            "TX_FRAUD_SCENARIO": pa.array([0] * n, pa.int8()),
        }
    )
    pq.write_table(table, path)
    return path


def test_the_handbooks_columns_become_the_use_cases_fields(tmp_path: Path, fraud: Definition) -> None:
    path = handbook_file(tmp_path / "cards.parquet", [datetime(2018, 8, 8, 10, 25, 54)])  # noqa: DTZ001  as in the file
    table = read_transactions(path, fraud)
    assert table.column_names == list(HANDBOOK_COLUMNS.values())
    row = table.to_pylist()[0]
    assert (row["transaction_id"], row["customer_id"], row["terminal_id"]) == ("0", "7", "9")
    assert row["event_time"] == datetime(2018, 8, 8, 10, 25, 54, tzinfo=UTC)


def test_what_tells_the_label_is_not_read(tmp_path: Path, fraud: Definition) -> None:
    path = handbook_file(tmp_path / "cards.parquet", [datetime(2018, 8, 8)])  # noqa: DTZ001  as in the file
    assert "TX_FRAUD_SCENARIO" not in read_transactions(path, fraud).column_names


def test_a_file_under_the_use_cases_own_names_is_taken_as_it_is(tmp_path: Path, fraud: Definition) -> None:
    pq.write_table(hourly(1), tmp_path / "own.parquet")
    assert read_transactions(tmp_path / "own.parquet", fraud).equals(hourly(1))


def test_a_file_without_a_column_is_refused_by_the_columns_name(tmp_path: Path, fraud: Definition) -> None:
    pq.write_table(hourly(1).drop_columns(["amount", "is_fraud"]), tmp_path / "own.parquet")
    with pytest.raises(DemoError, match="no column for amount, is_fraud of use case fraud"):
        read_transactions(tmp_path / "own.parquet", fraud)


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path, fraud: Definition) -> None:
    (tmp_path / "cards.csv").write_text("a,b\n")
    with pytest.raises(DemoError, match="cannot be read as parquet"):
        read_transactions(tmp_path / "cards.csv", fraud)


def test_a_use_case_nobody_simulates_asks_for_a_file(tmp_path: Path) -> None:
    text = examples.path("fraud").read_text().replace("name: fraud", "name: thefts")
    (tmp_path / "thefts.yaml").write_text(text)
    with pytest.raises(DemoError, match="give its events with --transactions"):
        make_plan(DemoOptions(), "thefts", load_definition(tmp_path / "thefts.yaml"))
