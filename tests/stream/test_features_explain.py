"""`riverrun features explain` on files: what it prints, and what it does not tell of people."""

import sys
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.definition.model import Definition
from features.past.history import HistoryError
from stream import cli
from stream.commands.features_explain import lines
from stream.workers.explain import explain_in_files
from tests.features.visit_tables import table_of, visit, visits

EXAMPLE = Path(__file__).resolve().parents[2] / "examples" / "fraud" / "usecase.yaml"
DEFINITION = visits("""
  - window: {entity: who, spans: [3s], where: "amount > 1", name: big, aggregates: [mean(amount)]}
  - window: {entity: place, spans: [2 events], delay: 4s, aggregates: [mean(label)]}
""")
ROWS = [
    visit(0, 1_000, who="Ann Smith", amount=2.5),
    visit(1, 2_000, who="Ann Smith", amount=0.5),
    visit(2, 3_500, who="Bob Brown"),
    visit(3, 6_000, who="Ann Smith", amount=1.5),
    visit(4, 6_100, who="Ann Smith", bad=True),
]


def told(definition: Definition, folder: Path, event: str, *, show_personal: bool = False) -> str:
    path = folder / "visits.parquet"
    pq.write_table(table_of(ROWS), path, row_group_size=2)
    found = explain_in_files(definition, [path], {}, event)
    return "\n".join(lines(definition, found, show_personal=show_personal))


def test_every_window_is_told_with_edges_entries_and_what_was_left_out(tmp_path: Path) -> None:
    text = told(DEFINITION, tmp_path, "e3")
    assert text.startswith("event e3  1970-01-01 00:00:06Z  row 3\n")
    window = text[text.index("big_mean_amount_3s = 1.5") :]
    assert "who *** after 1970-01-01 00:00:03Z until 1970-01-01 00:00:06Z" in window
    assert "1 entry:\n        1970-01-01 00:00:06Z  event e3  row 3  amount 1.5\n" in window
    assert "00:00:02Z  event e1  row 1  amount 0.5: not after the window's start" in window
    assert "00:00:06.100Z  event e4  row 4  amount 1.3: it is not before the event" in window
    assert "the last 2 of place x until 1970-01-01 00:00:02Z" in window


def test_people_are_not_named_unless_asked_for(tmp_path: Path) -> None:
    assert "Ann" not in told(DEFINITION, tmp_path, "e3")
    assert "who Ann Smith after" in told(DEFINITION, tmp_path, "e3", show_personal=True)


def test_an_event_that_is_not_there_is_said_to_be_missing(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match=r"no event of .*visits\.parquet has the id e9"):
        told(DEFINITION, tmp_path, "e9")


def test_the_command_prints_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = table_of(ROWS).select(["id", "at", "who", "place", "amount", "bad"])
    names = ["transaction_id", "event_time", "customer_id", "terminal_id", "amount", "is_fraud"]
    times = table.column("at").cast(pa.timestamp("ms"))
    pq.write_table(table.set_column(1, "at", times).rename_columns(names), tmp_path / "in.parquet")
    arguments = ["--event", "e3", "--usecase", str(EXAMPLE), "--data", str(tmp_path / "in.parquet")]
    monkeypatch.setattr(sys, "argv", ["riverrun", "features", "explain", *arguments])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    assert not ended.value.code
    assert "customer_count_1d = 3" in capsys.readouterr().out
