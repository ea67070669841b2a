"""`riverrun features build`: files in, a training set out, whatever the order and size of their parts."""

import json
from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from rich.console import Console

from features.definition.model import Definition
from features.lookup.table import lookup_history
from features.past.history import HistoryError, history_from_table
from features.past.offline import build_training_set, event_labels
from features.past.order import waiting_rows
from stream.workers.build import Span, build_files
from stream.workers.building.files import FileBatches
from stream.workers.building.output import METADATA
from tests.features.visit_tables import COUNTS, PLAIN, TIME, table_of, visit, visits

DEFINITION = visits(TIME + COUNTS)
DRAW = np.random.default_rng(4)
ROWS = [
    visit(
        number,
        int(DRAW.integers(0, 400)) * 250,
        who=f"w{DRAW.integers(0, 5)}",
        place=f"p{DRAW.integers(0, 3)}",
        kind=["paid", "seen"][int(DRAW.integers(0, 2))],
        amount=float(DRAW.integers(0, 30)) / 10,
        bad=bool(DRAW.integers(0, 2)),
    )
    for number in range(600)
]
IN_ORDER = sorted(ROWS, key=lambda row: int(row["at"]))
SPAN = Span(DEFINITION, 30_000, 80_000)


def write(path: Path, table: pa.Table, group: int = 50) -> Path:
    pq.write_table(table, path, row_group_size=group)
    return path


def build(span: Span, files: Sequence[Path], out: Path, slice_rows: int) -> tuple[pa.Table, str]:
    """What was written, and what was said meanwhile."""
    said = StringIO()
    build_files(span, files, out, {}, Console(file=said), slice_rows)
    return pq.read_table(out), said.getvalue()


def assert_is_whole(table: pa.Table, definition: Definition, whole: pa.Table) -> None:
    """The file holds what `build_training_set` gives for all of it in memory."""
    wanted = build_training_set(definition, history_from_table(definition, whole), SPAN.start, SPAN.end)
    assert table.column("event.id").to_pylist() == list(wanted.events.ids)
    times = table.column("event.time").cast(pa.int64()).to_numpy()
    np.testing.assert_array_equal(times, wanted.events.times)
    for at, name in enumerate(definition.feature_names):
        np.testing.assert_array_equal(table.column(name).to_numpy(), wanted.matrix[:, at], err_msg=name)
    np.testing.assert_array_equal(table.column("event.label").to_numpy(), wanted.labels)
    np.testing.assert_array_equal(table.column("event.weight").to_numpy(), wanted.weights)


@pytest.mark.parametrize("slice_rows", [40, 130, 10_000])
@pytest.mark.parametrize("rows", [IN_ORDER, ROWS], ids=["in order", "mixed"])
def test_a_file_of_any_order_is_built_as_in_memory(
    rows: list[dict[str, object]], slice_rows: int, tmp_path: Path
) -> None:
    table = table_of(rows)
    built, _ = build(SPAN, [write(tmp_path / "in.parquet", table)], tmp_path / "out.parquet", slice_rows)
    assert_is_whole(built, DEFINITION, table)


@pytest.mark.parametrize("slice_rows", [40, 10_000])
@pytest.mark.parametrize("rows", [IN_ORDER, ROWS], ids=["in order", "mixed"])
def test_ids_may_be_integers_in_one_file_and_texts_in_another(
    rows: list[dict[str, object]], slice_rows: int, tmp_path: Path
) -> None:
    table = table_of(rows)
    at = table.column_names.index("id")
    numbers = [int(str(text)[1:]) for text in table.column(at).to_pylist()]
    table = table.set_column(at, "id", pa.array([str(number) for number in numbers]))
    there = [place >= 300 or number % 50 != 3 for place, number in enumerate(numbers)]
    some = pa.array([number if kept else None for number, kept in zip(numbers, there, strict=True)])
    files = [
        write(tmp_path / "numbers.parquet", table.set_column(at, "id", some).slice(0, 300)),
        write(tmp_path / "texts.parquet", table.slice(300)),
    ]
    built, _ = build(SPAN, files, tmp_path / "out.parquet", slice_rows)
    assert built.schema.field("event.id").type == pa.string()
    assert_is_whole(built, DEFINITION, table.filter(pa.array(there)))


def test_what_is_too_mixed_is_sorted_on_disk_and_leaves_nothing_there(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", table_of(ROWS))
    files = FileBatches(DEFINITION, [source], SPAN.seen, 100)
    files.scan(lambda _: None)
    assert waiting_rows(files.extents) > 100
    _, said = build(SPAN, [source], tmp_path / "out.parquet", 100)
    assert "sorting by time on disk" in said
    assert sorted(path.name for path in tmp_path.iterdir()) == ["in.parquet", "out.parquet"]


def test_files_are_one_history_in_whatever_order_they_are_named(tmp_path: Path) -> None:
    early = write(tmp_path / "early.parquet", table_of(IN_ORDER[:250]))
    late = write(tmp_path / "late.parquet", table_of(IN_ORDER[250:]), group=1_000)
    built, said = build(SPAN, [late, early], tmp_path / "out.parquet", 120)
    # Equal times keep the order in which the files were named.
    assert_is_whole(built, DEFINITION, table_of([*IN_ORDER[250:], *IN_ORDER[:250]]))
    assert "sorting" not in said


def test_labels_of_later_events_reach_over_slices(tmp_path: Path) -> None:
    definition = visits(PLAIN, label='{time_to: "amount > 2.8", within: 3 events}')
    table = table_of(ROWS)
    span = Span(definition, SPAN.start, SPAN.end)
    built, _ = build(span, [write(tmp_path / "in.parquet", table)], tmp_path / "out.parquet", 70)
    assert_is_whole(built, definition, table)
    assert len(np.unique(event_labels(definition, history_from_table(definition, table)))) > 1


def test_categories_stay_texts_and_lookups_are_joined_as_of_each_event(tmp_path: Path) -> None:
    definition = visits("""
  - {categories: [kind]}
  - lookup: {entity: place, fields: {size: float64, class: string}}
""")
    held = pa.table(
        {
            "place": ["p0", "p0"],
            "size": [1.0, 2.0],
            "class": ["small", "large"],
            "written_at": [10_000, 50_000],
        }
    )
    lookups = {"place": lookup_history(definition, "place", held)}
    source = write(tmp_path / "in.parquet", table_of(IN_ORDER))
    out = tmp_path / "out.parquet"
    build_files(Span(definition, 0, 200_000), [source], out, lookups, Console(file=StringIO()), 130)
    built = pq.read_table(out)
    assert set(built.column("kind").to_pylist()) == {"paid"}
    for row in built.select(["event.time", "key.place", "place_size", "place_class"]).to_pylist():
        at = round(row["event.time"].timestamp() * 1_000)
        there = row["key.place"] == "p0" and at >= 10_000
        assert row["place_class"] == (("small" if at < 50_000 else "large") if there else None)
        assert row["place_size"] == pytest.approx(
            (1.0 if at < 50_000 else 2.0) if there else np.nan, nan_ok=True
        )


def test_the_file_says_what_it_is_of_and_shows_no_person(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", table_of(IN_ORDER))
    built, _ = build(SPAN, [source], tmp_path / "out.parquet", 10_000)
    assert built.column_names == [
        "event.id", "event.time", "key.place", *DEFINITION.feature_names, "event.label", "event.weight",
    ]  # fmt: skip
    said = json.loads(built.schema.metadata[METADATA])
    assert said["usecase"] == "visits"
    assert said["fingerprints"]["features"] == DEFINITION.fingerprints.features
    assert (said["from"], said["to"]) == (SPAN.start, SPAN.end)


def test_a_bad_value_is_named_with_file_and_row_and_no_file_is_left(tmp_path: Path) -> None:
    table = table_of(IN_ORDER)
    amounts = pa.array([*(str(i) for i in range(599)), "much"])
    source = write(tmp_path / "in.parquet", table.set_column(5, "amount", amounts))
    with pytest.raises(HistoryError, match=r"in\.parquet: column amount: row 599 \('much'\) is no double"):
        build(Span(DEFINITION, 0, 200_000), [source], tmp_path / "out.parquet", 100)
    assert [path.name for path in tmp_path.iterdir()] == ["in.parquet"]


def test_a_file_without_the_fields_is_refused_before_anything_is_read(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", table_of(IN_ORDER).drop(["amount", "who"]))
    with pytest.raises(HistoryError, match=r"in\.parquet: the table lacks the columns who, amount"):
        build(SPAN, [source], tmp_path / "out.parquet", 100)


def test_without_a_terminal_progress_comes_in_lines(tmp_path: Path) -> None:
    source = write(tmp_path / "in.parquet", table_of(IN_ORDER))
    _, said = build(Span(DEFINITION, 0, 200_000), [source], tmp_path / "out.parquet", 60)
    assert "building features: 600 of 600" in said
    assert all(" of 600" in line for line in said.splitlines())
