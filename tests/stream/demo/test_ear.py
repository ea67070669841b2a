"""Predictions as they are read: counted once, kept in the order of events, shown without personal fields."""

import json
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.definition import load_definition
from features.definition.model import Definition
from stream.demo import examples
from stream.demo.board import Board
from stream.demo.credit import HELD_BYTES_MAX, Credit
from stream.demo.ear import Ear
from stream.demo.ledger import DeadLetter, Ledger
from stream.demo.served import decode_prediction, predictions_table, shown_fields
from tests.stream import definitions


@pytest.fixture(scope="module")
def fraud() -> Definition:
    return load_definition(examples.path("fraud"))


def message(row: int, **changed: Any) -> bytes:
    data: dict[str, Any] = {
        "schema": "riverrun.prediction/1",
        "use_case": "fraud",
        "event_id": f"e{row}",
        "event_time": 1_700_000_000_000 + row,
        "score": 0.25,
        "decision": "approve",
        "reasons": [],
        "model": {"name": "fraud", "version": "v1", "digest": None, "variant": "champion"},
        "source": "model",
        "degradations": [],
        "origin": {"topic": "fraud.events", "partition": row % 4, "offset": row // 4},
        "fields": {"amount": 12.5},
        "features": {"amount": 12.5, "during_night": None},
    }
    return json.dumps({**data, **changed}).encode()


class Room:
    """An ear and what it writes into."""

    def __init__(self, definition: Definition, events: int) -> None:
        ids = [f"e{row}" for row in range(events)]
        self.ledger, self.board, self.credit = Ledger(ids), Board(events), Credit(range(4), ["score"])
        for row in range(events):
            self.ledger.sent((row % 4, row // 4), row)
        sent_ms = [1_000] * events
        rows = {event_id: row for row, event_id in enumerate(ids)}
        self.ear = Ear(definition, rows, sent_ms, self.ledger, self.board, self.credit)

    def hear(self, data: bytes, now_ms: float = 1_020.0) -> None:
        self.ear.prediction(data, now_s=now_ms / 1000, now_ms=now_ms)


def test_latency_runs_from_the_records_timestamp_to_the_arrival_of_its_prediction(fraud: Definition) -> None:
    room = Room(fraud, 1)
    room.hear(message(0), now_ms=1_042.5)
    assert room.ear.latencies_ms == [42.5]
    assert room.board.snapshot(1.1).p50_ms == 42.5


def test_a_doubled_prediction_is_counted_as_such_and_nowhere_else(fraud: Definition) -> None:
    room = Room(fraud, 1)
    room.hear(message(0))
    room.hear(message(0, score=0.9, decision="decline"))
    snapshot = room.board.snapshot(1.1)
    assert (snapshot.answered, snapshot.duplicates, dict(snapshot.decisions)) == (1, 1, {"approve": 1})
    assert room.ear.served.scores(fraud, 1).tolist() == [0.25]
    assert len(room.ear.latencies_ms) == 1


def test_fallbacks_are_the_causes_for_which_another_than_the_champion_answered(fraud: Definition) -> None:
    room = Room(fraud, 2)
    room.hear(message(0, degradations=["behind"]))
    room.hear(message(1, source="rules", degradations=["field_missing", "store_down"]))
    snapshot = room.board.snapshot(1.1)
    assert snapshot.fallbacks == {"store_down": 1}
    assert snapshot.causes == {"behind": 1, "field_missing": 1, "store_down": 1}
    assert snapshot.sources == {"model": 1, "rules": 1}


def test_every_decision_but_the_quiet_one_is_an_alert_the_latest_first(fraud: Definition) -> None:
    room = Room(fraud, 3)
    room.hear(message(0))
    reasons = [{"code": "amount", "contribution": 2.5}, {"code": "during_night", "contribution": 0.1}]
    room.hear(message(1, decision="review", reasons=reasons))
    room.hear(message(2, decision="decline", score=0.98, reasons=[{"code": "amount_over_220"}]))
    latest, earlier = room.board.snapshot(1.1).alerts
    assert (latest.event_id, latest.decision, latest.score) == ("e2", "decline", "0.980")
    assert latest.included == {"amount": "12.50"}
    assert earlier.reasons == ("amount", "during_night")


def test_personal_fields_are_masked(fraud: Definition) -> None:
    prediction = decode_prediction(message(0, fields={"amount": 12.5, "customer_id": "c-17"}))
    assert shown_fields(fraud, prediction) == {"amount": "12.50", "customer_id": "•••"}


def test_what_is_no_prediction_is_counted_and_does_no_harm(fraud: Definition) -> None:
    room = Room(fraud, 1)
    room.hear(b"{}")
    room.hear(b"\xff")
    assert room.ear.unreadable == 2
    assert room.ledger.close().lost == 1


def test_answers_free_credit_once(fraud: Definition) -> None:
    room = Room(fraud, 1)
    room.credit.sending(100)
    room.credit.sent(0, 0, 100, answered=True)
    room.credit.committed("score", 0, 1)
    full = HELD_BYTES_MAX // 1_000
    assert room.credit.room(1_000) == full - 1
    room.hear(message(0))
    room.hear(message(0))
    assert room.credit.room(1_000) == full
    letter = DeadLetter((0, 1), None, b"x", ())
    room.credit.sending(1)
    room.credit.sent(0, 1, 1, answered=True)
    room.credit.committed("score", 0, 2)
    room.ear.dead_letter(letter)
    room.ear.dead_letter(letter)
    assert room.credit.room(1_000) == full
    assert room.board.snapshot(1.1).dead_letters == 2


def test_the_table_holds_predictions_in_the_order_of_events_with_features_in_model_order(
    fraud: Definition,
) -> None:
    room = Room(fraud, 3)
    for row in (2, 0):
        room.hear(
            message(row, source="rules" if row else "model", degradations=["store_down"] if row else [])
        )
    table = predictions_table(fraud, room.ear.served)
    fixed = ["event_id", "event_time", "score", "decision", "source", "model_version", "degradations"]
    assert table.column_names == [*fixed, *fraud.feature_names]
    assert table["event_id"].to_pylist() == ["e0", "e2"]
    assert table["degradations"].to_pylist() == [[], ["store_down"]]
    assert table["amount"].to_pylist() == [12.5, 12.5]
    assert table["during_night"].null_count == 2
    assert table.schema.field("event_id").type == pa.string()
    assert table.schema.field("event_time").type == pa.timestamp("ms", tz="UTC")
    assert table.schema.field("customer_count_1d").type == pa.float64()


def test_regressions_and_classes_are_answers_too() -> None:
    value = decode_prediction(message(0, score=None, value=31.5))
    assert value.answer == 31.5
    probabilities = {"billing": 0.2, "fault": 0.7, "other": 0.1}
    chosen = decode_prediction(message(0, score=None, **{"class": "fault", "probabilities": probabilities}))
    assert chosen.answer == 0.7


def test_scores_of_classes_stand_in_the_definitions_order_and_lost_events_are_missing() -> None:
    classes = definitions.classes()
    room = Room(classes, 2)
    probabilities = {"other": 0.1, "fault": 0.7, "billing": 0.2}
    room.hear(message(1, score=None, fields=None, **{"class": "fault", "probabilities": probabilities}))
    scores = room.ear.served.scores(classes, 2)
    assert np.isnan(scores[0]).all()
    assert scores[1].tolist() == [0.2, 0.7, 0.1]
