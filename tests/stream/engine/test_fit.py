"""Predictions within what their topic takes."""

import msgspec
import pytest

from stream.engine.fit import fit, too_large
from stream.errors import AbortCause, Aborted
from stream.pipeline.rejected import RejectReason
from stream.records import Headers
from stream.transport.endpoints import record_bytes
from stream.transport.memory import MemoryTransactions
from tests.stream.engine.bench import OUTPUTS, Bench
from tests.stream.engine.contents import EVENTS

HEADERS: Headers = [("content-type", b"application/json")]
PREDICTION = {
    "schema": "riverrun.prediction/1",
    "event_id": "v",
    "score": 0.25,
    "reasons": [{"code": "r" * 300}],
    "fields": {"weight": 1.5},
    "features": {f"f{i}": 1 / (i + 3) for i in range(100)},
}


def fitted(bytes_max: int, key: bytes = b"k") -> dict[str, object] | None:
    values = [b"{}", msgspec.json.encode(PREDICTION), b"{}"]
    unfit = fit([None, key, b""], values, [HEADERS] * 3, bytes_max)
    assert values[0] == values[2] == b"{}"
    if unfit:
        assert unfit == [1]
        return None
    assert record_bytes(key, values[1], HEADERS) <= bytes_max
    found: dict[str, object] = msgspec.json.decode(values[1])
    return found


def test_what_fits_is_left_as_it_is() -> None:
    assert fitted(1_000_000) == PREDICTION
    exact = record_bytes(b"k", msgspec.json.encode(PREDICTION), HEADERS)
    assert fitted(exact) == PREDICTION
    assert fitted(exact - 1) != PREDICTION


def test_features_and_fields_go_first_then_reasons_and_what_went_is_named() -> None:
    short = fitted(1_000)
    assert short is not None
    assert short["omitted"] == ["features", "fields"]
    assert (short["score"], short["reasons"]) == (0.25, PREDICTION["reasons"])
    assert not short.keys() & {"features", "fields"}
    shorter = fitted(450)
    assert shorter is not None
    assert shorter["omitted"] == ["features", "fields", "reasons"]
    assert shorter["reasons"] == []


@pytest.mark.parametrize(("bytes_max", "key"), [(200, b"k"), (10_000, b"k" * 9_900)])
def test_what_fits_in_no_record_is_set_aside(bytes_max: int, key: bytes) -> None:
    assert fitted(bytes_max, key) is None
    assert too_large(3).index == 3


@pytest.mark.parametrize("exactly_once", [False, True])
def test_a_record_with_a_long_key_becomes_a_dead_letter_and_its_neighbours_are_answered(
    one: Bench, exactly_once: bool
) -> None:
    one.broker._topic_bytes_max |= {OUTPUTS.predictions: 1_500, OUTPUTS.deadletters: 1_900}
    one.produce_some(2)
    event = b'{"visit": "huge", "at": 999000, "person": "ann", "weight": 6.0}'
    one.broker.append(EVENTS, b"K" * 1_000, event, [], 0)
    one.produce_some(2)
    worker = one.scorer(MemoryTransactions(one.broker, "a") if exactly_once else None)
    worker.settle()
    assert one.predicted() == [(0, 0), (0, 1), (0, 3), (0, 4)]
    (letter,) = one.dead_letters()
    headers = dict(letter.headers)
    assert headers["riverrun.reason"] == RejectReason.PREDICTION_TOO_LARGE.value.encode()
    assert headers["riverrun.offset"] == b"2"
    assert record_bytes(letter.key, letter.value, letter.headers) <= 1_900
    assert one.committed() == {0: 5}
    assert worker.value("riverrun_dead_letters_total", reason="prediction_too_large") == 1


def test_transactions_are_counted_by_what_became_of_them(one: Bench) -> None:
    sink = MemoryTransactions(one.broker, "a")
    worker = one.scorer(sink)
    one.produce_some(1)
    sink.refusal = Aborted(AbortCause.GROUP_MOVED, "told to")
    worker.loop.step()
    assert one.predictions() == []
    worker.settle()
    assert len(one.predictions()) == 1
    assert worker.value("riverrun_transactions_aborted_total", cause="group_moved") == 1
    assert (
        worker.value("riverrun_transactions_total") == worker.value("riverrun_transaction_seconds_count") == 1
    )
