"""The downstream consumer that the documents show."""

from typing import Any

import numpy as np
import pytest
from confluent_kafka import KafkaError

from examples.consumer import Seen, act, consume
from stream.pipeline.causes import Cause, Source
from stream.pipeline.encode import PredictionEncoder, Reason
from tests.stream.definitions import ORDER, clock
from tests.stream.predictions import decoded, encoded, scored


def test_the_first_prediction_of_an_event_counts_and_the_memory_is_bounded() -> None:
    seen = Seen(capacity=2)
    assert [seen.add(i) for i in ["a", "a", "b", "a", "c", "b", "a"]] == [
        True,
        False,
        True,
        False,
        True,
        False,
        True,
    ]


def test_it_understands_what_is_written() -> None:
    batch = scored(
        clock(),
        decoded(clock(), ORDER),
        np.array([0.9]),
        sources=Source.RULES,
        control=True,
        causes=Cause.STORE_DOWN,
        reasons={0: [Reason("dear")]},
    )
    (prediction,) = encoded(clock(), batch)
    assert act(prediction) == "refuse o-1 as a control dear (degraded: store_down)"


class _Interrupted(Exception):
    pass


class _Message:
    def __init__(self, value: bytes) -> None:
        self._value = value

    def value(self) -> bytes:
        return self._value

    def error(self) -> KafkaError | None:
        return None


class _Log:
    """A consumer's view of a log that is interrupted at its end; remembers what was said by each commit."""

    def __init__(self, batches: list[list[_Message]], said: Any) -> None:
        self._batches, self._said = batches, said
        self.committed: list[str] = []

    def consume(self, _messages: int, _timeout_s: float) -> list[_Message]:
        if not self._batches:
            raise _Interrupted
        return self._batches.pop(0)

    def commit(self, *, asynchronous: bool) -> None:
        assert not asynchronous
        self.committed.append(self._said.readouterr().out)


def test_offsets_are_committed_after_acting_and_doubles_are_acted_on_once(
    capsys: pytest.CaptureFixture[str],
) -> None:
    events = decoded(clock(), ORDER, {**ORDER, "order_id": "o-2"})
    encoder = PredictionEncoder(clock(), message_bytes_max=1 << 20)
    first, second = (_Message(m) for m in encoder.encode(scored(clock(), events, np.full(2, 0.9))))
    foreign = _Message(b'{"schema":"something/else"}')
    log = _Log([[first, first], [], [foreign, second, first]], capsys)
    with pytest.raises(_Interrupted):
        consume(log, Seen(10))  # type: ignore[arg-type]  # it has what `consume` asks of a Consumer
    assert log.committed == ["refuse o-1\n", "refuse o-2\n"]
