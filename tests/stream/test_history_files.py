"""History files are read a part at a time, and give the rows that reading them at once would give."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

from features.definition.model import RowKind
from features.keys import Namespace
from features.past.history import HistoryError, history_from_table
from features.store import StoreUnavailable
from stream.cli import app
from stream.engine.history_loader import HistoryLoader, Loading, Piece
from stream.engine.lease import Lease
from stream.engine.stored import StoredState
from stream.errors import ExitCode
from stream.workers.backfill import backfill, pieces
from stream.workers.history_files import HistoryFiles
from stream.workers.load_history import PATIENCE_MS, REST_MS, BesideLive, load
from stream.workers.preflight import doubt
from tests.stream.engine.bench import LABELLED, REWIND_MS, Bench, bench
from tests.stream.engine.contents import entries_by_row
from tests.stream.engine.stores import StoreServer
from tests.stream.engine.workers import START_MS
from tests.stream.visits import TEXT

DAY_MS = 86_400_000


def table(first: int, count: int) -> pa.Table:
    numbers = range(first, first + count)
    return pa.table(
        {
            "visit": [f"v{n}" for n in numbers],
            "at": pa.array([START_MS + 10 * (n // 3) for n in numbers], pa.timestamp("ms")),
            "person": [f"p{n % 4}" for n in numbers],
            "door": pa.array([("front", None)[n % 5 == 0] for n in numbers], pa.string()),
            "weight": [float(n) if n % 7 else float("inf") for n in numbers],
            "bad": [None if n % 3 else bool(n % 2) for n in numbers],
            "unused": ["x" * 100] * count,
        }
    )


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Two files of 40 and 25 rows, a row group for each 10."""
    paths = [tmp_path / "one.parquet", tmp_path / "two.parquet"]
    pq.write_table(table(0, 40), paths[0], row_group_size=10)
    pq.write_table(table(40, 25), paths[1], row_group_size=10)
    return paths


def loader_of(made: Bench, files: HistoryFiles, rows_max: int) -> HistoryLoader:
    store = made.store.connect()
    state = StoredState(made.namespace, store, made.clock, lambda: "e", None)
    lease = Lease(store, made.namespace.loading(), "me", 60_000, made.clock)

    def read() -> Iterator[Piece]:
        for part, done in files.parts(rows_max):
            yield from pieces(LABELLED, part, done)

    return HistoryLoader(state, store, lease, read, None, REWIND_MS, made.clock)


# ------------------------------------------------------------------------------------------------- reading


@pytest.mark.parametrize("rows_max", [1, 7, 10, 1_000])
def test_parts_of_any_size_give_the_rows_of_the_whole(files: list[Path], rows_max: int) -> None:
    whole = StoreServer(lambda: 0)
    history = history_from_table(LABELLED, pa.concat_tables([table(0, 40), table(40, 25)]))
    backfill(whole.connect(), LABELLED, history, None, lambda *_: None)
    with bench(LABELLED) as made:
        opened = HistoryFiles.open(LABELLED, files)
        assert opened.rows == 65
        parts = [(len(part), done) for part, done in opened.parts(rows_max)]
        assert parts[-1][1] == 65
        assert max(len(part) for part, _ in opened.parts(rows_max)) <= rows_max
        assert sum(size for size, _ in parts) == len(history) == 65 - 10
        loading = loader_of(made, opened, rows_max)
        while loading.step() is not Loading.DONE:
            made.clock.ms += 1_000
        namespace = Namespace.of(LABELLED)
        for kind in RowKind:
            found = entries_by_row(LABELLED, namespace, made.store, kind)
            wanted = entries_by_row(LABELLED, namespace, whole, kind)
            assert {name: in_order(row) for name, row in found.items()} == {
                name: in_order(row) for name, row in wanted.items()
            }, "events that tie keep their order"


def in_order(row: set[tuple[Any, ...]]) -> list[int]:
    """The ids of a row's entries by time, then by position."""
    return [event_id for _, event_id, *_ in sorted(row, key=lambda entry: (entry[0], entry[2]))]


def test_what_is_wrong_with_the_files_is_said_at_once(files: list[Path], tmp_path: Path) -> None:
    text, lacking = tmp_path / "text.parquet", tmp_path / "lacking.parquet"
    text.write_text("this is none")
    pq.write_table(table(0, 3).drop_columns(["person", "weight"]), lacking)
    with pytest.raises(HistoryError) as raised:
        HistoryFiles.open(LABELLED, [text, files[0], lacking, tmp_path / "absent.parquet"])
    lines = str(raised.value).splitlines()
    assert len(lines) == 3
    assert "text.parquet is not a parquet file" in lines[0]
    assert "lacking.parquet: the table lacks the columns person, weight" in lines[1]
    assert "absent.parquet cannot be read: No such file" in lines[2]


def test_a_value_that_means_nothing_is_told_by_its_row_of_all_files(tmp_path: Path) -> None:
    path = tmp_path / "bad.parquet"
    bad = table(0, 20)
    weights = pa.array([str(n) if n != 13 else "heavy" for n in range(20)])
    pq.write_table(bad.set_column(bad.column_names.index("weight"), "weight", weights), path)
    with pytest.raises(HistoryError, match=r"bad\.parquet.*column weight: row 13 \('heavy'\)"):
        list(HistoryFiles.open(LABELLED, [path]).parts(5))


def test_how_far_files_reach_is_read_from_their_statistics(files: list[Path], tmp_path: Path) -> None:
    assert HistoryFiles.open(LABELLED, files).extent() == (START_MS, START_MS + 10 * (64 // 3))
    texts = tmp_path / "texts.parquet"
    held = table(0, 3)
    at = pa.array(["2024-01-01T00:00:00Z"] * 3)
    pq.write_table(held.set_column(held.column_names.index("at"), "at", at), texts)
    assert HistoryFiles.open(LABELLED, [texts]).extent() is None


# ------------------------------------------------------------------------------------------------- loading


def test_a_store_that_fails_for_a_while_is_waited_for_and_one_that_fails_for_good_is_not(
    files: list[Path],
) -> None:
    with bench(LABELLED) as made:
        told: list[int] = []

        def sleep_s(seconds: float) -> None:
            made.clock.ms += int(seconds * 1_000)

        made.store.refusals = 20
        loading = loader_of(made, HistoryFiles.open(LABELLED, files), 10)
        load(loading, told.append, lambda _: None, sleep_s, made.clock)
        assert sum(told) == 65
        made.store.refusals = 10**9
        began = made.clock.ms
        with pytest.raises(StoreUnavailable):
            load(loading, told.append, lambda _: None, sleep_s, made.clock)
        assert made.clock.ms - began > PATIENCE_MS


def test_whoever_finds_somebody_at_it_says_so_once_and_waits(files: list[Path]) -> None:
    with bench(LABELLED) as made:
        said: list[str] = []
        made.store.connect().put_if_absent(made.namespace.loading(), b"other %d" % (made.clock.ms + 9_000))

        def sleep_s(seconds: float) -> None:
            made.clock.ms += int(seconds * 1_000)

        loading = loader_of(made, HistoryFiles.open(LABELLED, files), 10)
        load(loading, lambda _: None, said.append, sleep_s, made.clock)
        assert [line.split(";")[0] for line in said] == [
            "history: somebody else is loading some",
            "history: all is in Redis",
        ]
        assert loading.claim is not None


def test_beside_live_events_it_loads_a_piece_at_a_time_and_rests_when_there_is_nothing_to_do(
    files: list[Path],
) -> None:
    with bench(LABELLED) as made:
        worker = made.materializer(has_history=True)
        opened = HistoryFiles.open(LABELLED, files)
        loading = loader_of(made, opened, 20)
        beside = BesideLive(loading, made.store.connect(), opened.rows, worker.metrics, made.clock)
        made.store.refusals = 1
        assert not beside.step()
        assert not beside.step(), "it rests"
        assert worker.value("riverrun_store_errors_total", cause="store_down") == 1
        made.clock.ms += REST_MS
        steps = 0
        while not worker.value("riverrun_history_claims_total"):
            steps += beside.step()
            made.clock.ms += 1_000
        assert steps > 4
        assert worker.value("riverrun_history_claims_total") == 1
        assert not beside.step(), "until the materializers have heard of it"


# ------------------------------------------------------------------------------------------------ command


def test_the_command_loads_files_claims_them_and_may_be_repeated(
    redis_url: str, fresh_name: Callable[[str], str], tmp_path: Path, files: list[Path]
) -> None:
    name = fresh_name("visits").replace("-", "_")
    usecase = tmp_path / "usecase.yaml"
    usecase.write_text(TEXT.replace("name: visits", f"name: {name}"))
    command = ["materialize", "--usecase", str(usecase), "--redis", redis_url]
    command += ["--set", "materialize.rewind_s=0"]
    command += [text for path in files for text in ("--backfill", str(path))]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == ExitCode.OK, done.output
    assert "history: rows: 65 of 65" in done.output
    last = datetime.fromtimestamp((START_MS + 210) / 1_000, UTC).isoformat(" ", "milliseconds")
    assert f"99 entries of 65 rows, complete from 1970-01-01 00:16:40.000+00:00 to {last}" in done.output
    again = CliRunner().invoke(app, command)
    assert again.exit_code == ExitCode.OK
    refused = CliRunner().invoke(app, [*command, "--backfill", str(usecase)])
    assert isinstance(refused.exception, HistoryError)


# ---------------------------------------------------------------------------------------------- preflight


def at_days(*days: float) -> list[int]:
    return [int(day * DAY_MS) for day in days]


NEEDED = LABELLED.retention + LABELLED.grace
NOW = 100 * DAY_MS


def test_a_topic_that_keeps_records_for_as_long_as_rows_reach_back_needs_no_history() -> None:
    assert doubt(LABELLED, "visits.events", NEEDED, None, NOW) is None
    assert doubt(LABELLED, "visits.events", -1, None, NOW) is None
    assert doubt(LABELLED, "visits.events", None, None, NOW) is None, "Kafka did not say"


def test_one_that_keeps_less_is_warned_of_with_both_mends() -> None:
    said = doubt(LABELLED, "visits.events", NEEDED - 1, None, NOW)
    assert said is not None
    assert "visits.events keeps records for" in said
    assert "retention.ms" in said
    assert "materialize.history" in said


@pytest.mark.parametrize(
    ("since", "until", "fault"),
    [
        (NOW - NEEDED, NOW - NEEDED // 2, None),
        (NOW - NEEDED, NOW - NEEDED // 2 - 1, "end before it begins"),
        (NOW - NEEDED + 1, NOW, "begin later"),
    ],
)
def test_history_must_reach_from_before_the_rows_to_within_the_log(
    tmp_path: Path, since: int, until: int, fault: str | None
) -> None:
    path = tmp_path / "history.parquet"
    held = table(0, 2)
    times = pa.array(np.array([since, until]), pa.timestamp("ms"))
    pq.write_table(held.set_column(held.column_names.index("at"), "at", times), path)
    said = doubt(LABELLED, "visits.events", NEEDED // 2, HistoryFiles.open(LABELLED, [path]), NOW)
    assert (said is None) if fault is None else (said is not None and fault in said)
