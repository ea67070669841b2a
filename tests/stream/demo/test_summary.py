"""The summary and what is said at the end; the view fits a narrow terminal."""

import json
import math
from dataclasses import replace
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from stream.demo.board import Alert, Board, Snapshot
from stream.demo.ledger import Account
from stream.demo.summary import Summary, final_table, problems, write_summary
from stream.demo.view import LiveView, PlainView, line, render, view_on

CLEAN = Account(1_000, 1_000, 7, 0, 0, 7, 0, 0, 0)
SNAPSHOT = replace(
    Board(1_000).snapshot(0.0),
    sent=1_000,
    answered=1_000,
    rate=1_499.6,
    p50_ms=11.0,
    p99_ms=48.0,
    decisions={"approve": 950, "review": 30, "decline": 20},
    sources={"model": 800, "rules": 200},
    causes={"behind": 3, "store_down": 200},
    fallbacks={"store_down": 200},
    alerts=tuple(
        Alert(
            f"event-{i:030d}",
            {"amount": "1,234.50", "customer_id": "•••"},
            "decline",
            "0.980",
            "model",
            ("a" * 60, "b"),
        )
        for i in range(6)
    ),
)


def summary(account: Account = CLEAN, snapshot: Snapshot = SNAPSHOT) -> Summary:
    return Summary(
        use_case="fraud",
        account=account,
        snapshot=snapshot,
        scoring_s=2.0,
        latencies_ms=[10.0, 20.0, 30.0],
        seconds={"data": 0.5, "scoring": 2.0},
        metrics={"roc_auc": 0.9, "roc_auc_protocol": 0.88, "average_precision": math.nan},
        model_version="abc",
        problems=[],
    )


def test_the_summary_has_every_figure_under_its_published_name(tmp_path: Path) -> None:
    write_summary(summary(), tmp_path / "deep" / "out.json")
    data = json.loads((tmp_path / "deep" / "out.json").read_text())
    assert (data["events"], data["predictions"], data["dead_letters"]) == (1_000, 1_000, 7)
    assert (data["lost"], data["duplicates"]) == (0, 0)
    assert data["fallbacks"] == {"store_down": 200}
    assert data["throughput_eps"] == 500.0
    assert data["latency_ms"] == {"p50": 20.0, "p99": pytest.approx(29.8)}
    assert data["seconds"] == {"data": 0.5, "scoring": 2.0}
    assert (data["roc_auc"], data["roc_auc_protocol"]) == (0.9, 0.88)
    assert data["average_precision"] is None


def test_a_run_without_a_prediction_still_has_a_summary() -> None:
    empty = replace(summary(snapshot=Board(0).snapshot(0.0)), latencies_ms=[], scoring_s=0.0)
    data = empty.as_data()
    assert data["throughput_eps"] is None
    assert data["latency_ms"] == {"p50": None, "p99": None}


def found(account: Account) -> list[str]:
    """The problems of a run in which all else went well."""
    codes = {"score": 0, "materialize": 0}
    return problems(account, exit_codes=codes, dead=[], is_mended=True, is_read=True, unreadable=0)


def test_a_clean_run_has_no_problems() -> None:
    assert found(CLEAN) == []


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"lost": 2}, "2 events without a prediction"),
        ({"duplicates": 1}, "predicted more than once"),
        ({"poison_missing": 1}, "without a dead letter"),
        ({"poison_changed": 1}, "differ from what was sent"),
        ({"strangers": 1}, "belong to no such record"),
    ],
)
def test_whatever_the_books_do_not_balance_is_a_problem(changed: dict[str, int], words: str) -> None:
    (sentence,) = found(replace(CLEAN, **changed))
    assert words in sentence


def test_workers_that_die_or_do_not_drain_and_faults_that_stay_are_problems() -> None:
    codes = {"score": 1, "materialize": 0}
    sentences = problems(
        CLEAN, exit_codes=codes, dead=["materialize"], is_mended=False, is_read=False, unreadable=3
    )
    assert sentences == [
        "3 messages that are no predictions",
        "worker materialize ended by itself",
        "worker score did not drain: exit code 1",
        "the predictions could not be read to their end",
        "what was broken did not recover",
    ]


@pytest.mark.parametrize("width", [40, 80, 200])
def test_the_live_view_is_never_wider_than_the_terminal(width: int) -> None:
    console = Console(file=StringIO(), width=width, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(SNAPSHOT, "riverrun demo: fraud", 12.0))
        console.print(final_table(summary()))
    assert max(map(len, capture.get().splitlines())) <= width


def test_the_live_view_shows_alerts_with_fields_and_reasons() -> None:
    console = Console(file=StringIO(), width=160, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(render(SNAPSHOT, "riverrun demo: fraud", 12.0))
    shown = capture.get()
    for part in (
        "1,500 events/s",
        "p99 48 ms",
        "amount 1,234.50",
        "decline",
        "0.980",
        "store_down 200",
        "rules 200",
    ):
        assert part in shown


def test_a_line_says_the_same_without_a_terminal() -> None:
    said = line(SNAPSHOT)
    for part in ("1,000 of 1,000", "p50 11 ms", "approve 950", "model 800", "store_down 200"):
        assert part in said


def test_a_pipe_gets_lines_and_a_terminal_a_live_view() -> None:
    assert isinstance(view_on(Console(file=StringIO()), "x"), PlainView)
    assert isinstance(view_on(Console(file=StringIO(), force_terminal=True), "x"), LiveView)


def test_a_plain_view_writes_no_control_characters() -> None:
    out = StringIO()
    with view_on(Console(file=out, width=80), "x") as view:
        view.say("redis killed [really]")
        view.step("history", 1, 10)
        view.show(SNAPSHOT)
    assert "\x1b" not in out.getvalue()
    assert "redis killed [really]" in out.getvalue()
