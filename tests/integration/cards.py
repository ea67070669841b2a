"""The published transactions through real workers: sent in their order, compared as they are answered.

A terminal's windows end seven days before the event. So the feed keeps so little under way that a partition
never lags by seven days of events, and no feature depends on who is ahead of whom.
"""

import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pyarrow as pa
from confluent_kafka import OFFSET_BEGINNING, Consumer, Message, Producer, TopicPartition

from features.arrays import Floats, Ints
from stream.demo import examples
from stream.demo.messages import messages
from stream.demo.served import Prediction, decode_prediction
from tests.integration.stage import Stage

PARTITIONS = 4
AT_ONCE = 2_000
UNDER_WAY_MAX = 12_000
"""A quarter of seven days of events: all of them may be one partition's."""
PATIENCE_S = 60.0
TEXT = examples.path("fraud").read_text().replace("name: fraud", "name: NAME")

Expect = Callable[[Ints, Floats, Sequence[Prediction]], None]
"""Fails where the predictions of these transactions are not what they should be; their features have the
shape (n, features)."""


class Cards:
    """Sends rows of a table of transactions whose ids are whole numbers, and reads what is answered."""

    def __init__(self, stage: Stage, table: pa.Table, expect: Expect) -> None:
        """table: the fields of examples/fraud and the label, in the order of sending."""
        self._stage, self._table, self._expect = stage, table, expect
        self._names = stage.definition.feature_names
        self._answered = np.zeros(len(table), np.bool_)
        self._first_id = int(table["transaction_id"][0].as_py())
        self._before = {topic: self._materialized(topic) for topic in ("events", "labels")}
        self._producer = Producer(
            {"bootstrap.servers": stage.kafka, "partitioner": "murmur2_random", "linger.ms": 5}
        )
        self._consumer = Consumer({"bootstrap.servers": stage.kafka, "group.id": f"{stage.name}.reader"})
        topic = stage.topics["predictions"]
        self._consumer.assign([TopicPartition(topic, p, OFFSET_BEGINNING) for p in range(stage.partitions)])

    def run(self) -> None:
        """Until every transaction is answered, once, as expected."""
        sent = answered = 0
        came_s = time.monotonic()
        while answered < len(self._table):
            if sent < len(self._table) and sent - min(answered, self._in_rows()) <= UNDER_WAY_MAX - AT_ONCE:
                sent += self._send(self._table.slice(sent, AT_ONCE))
            taken = self._take(self._consumer.consume(AT_ONCE, 0.05))
            answered += taken
            came_s = time.monotonic() if taken else came_s
            assert time.monotonic() - came_s < PATIENCE_S, f"{answered} of {sent} are answered"
            self._stage.check_workers()
        assert self._answered.all()

    def close(self) -> None:
        self._consumer.close()
        self._producer.close()

    def _send(self, table: pa.Table) -> int:
        records = messages(self._stage.definition, table)
        for event, label in zip(records.events, records.labels, strict=True):
            self._producer.produce(self._stage.topics["events"], event[1], event[0])
            if label is not None:
                self._producer.produce(self._stage.topics["labels"], label[1], label[0])
        assert self._producer.flush(PATIENCE_S) == 0
        return len(table)

    def _in_rows(self) -> int:
        """How many transactions are, with their labels, in the rows."""
        return min(self._materialized(topic) - before for topic, before in self._before.items())

    def _materialized(self, topic: str) -> int:
        return sum(known.offset for known in self._stage.progress(topic).values())

    def _take(self, found: list[Message]) -> int:
        if not found:
            return 0
        predictions = [decode_prediction(_value(message)) for message in found]
        ids = np.array([int(prediction.event_id) for prediction in predictions])
        rows = ids - self._first_id
        assert len(np.unique(rows)) == len(rows), "some are answered twice"
        assert not self._answered[rows].any(), "some are answered again"
        self._answered[rows] = True
        assert {(p.source, *p.degradations) for p in predictions if p.source != "model"} == set()
        self._expect(ids, self._features(predictions), predictions)
        return len(found)

    def _features(self, predictions: list[Prediction]) -> Floats:
        found: list[Mapping[str, float | None]] = [prediction.features or {} for prediction in predictions]
        return np.array([[of[name] for name in self._names] for of in found], np.float64)


def _value(message: Message) -> bytes:
    assert message.error() is None, message.error()
    value = message.value()
    assert value is not None
    return value
