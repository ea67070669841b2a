"""A downstream consumer: reads predictions, keeps the first of each event, acts on its decision.

    python examples/consumer.py localhost:9092 fraud.predictions

At-least-once delivery may write a prediction twice, and a consumer that stops between acting and
committing reads one again. `Seen` covers what is doubled within its memory; where acting twice would
harm, let the system acted upon refuse an event id it already knows.
"""

import json
import signal
import sys
from collections import OrderedDict
from typing import Any

from confluent_kafka import Consumer, KafkaException

SCHEMA = "riverrun.prediction/1"
EVENTS_REMEMBERED = 1_000_000
POLL_S = 1.0


class Seen:
    """The event ids of late; the oldest is forgotten when there are too many."""

    def __init__(self, capacity: int) -> None:
        self._capacity = capacity
        self._ids: OrderedDict[str, None] = OrderedDict()

    def add(self, event_id: str) -> bool:
        """Whether the event is new."""
        if event_id in self._ids:
            return False
        self._ids[event_id] = None
        if len(self._ids) > self._capacity:
            self._ids.popitem(last=False)
        return True


def act(prediction: dict[str, Any]) -> str:
    """What is done about an event; here it is only said. Fields we do not know are left alone."""
    why = ", ".join(reason["code"] for reason in prediction["reasons"])
    degraded = f" (degraded: {', '.join(prediction['degradations'])})" if prediction["degradations"] else ""
    # A control event was let through against the policy, so that its label tells what would have been.
    marked = " as a control" if prediction["control"] else ""
    return f"{prediction['decision']} {prediction['event_id']}{marked} {why}{degraded}".rstrip()


def consume(consumer: Consumer, seen: Seen) -> None:
    """Read until interrupted; offsets are committed only after their predictions were acted upon."""
    while True:
        messages = consumer.consume(500, POLL_S)
        for message in messages:
            error, value = message.error(), message.value()
            if error is not None:
                raise KafkaException(error)
            prediction = json.loads(value or b"{}")
            if prediction.get("schema") == SCHEMA and seen.add(prediction["event_id"]):
                print(act(prediction))
        if messages:
            consumer.commit(asynchronous=False)


def main(servers: str, topic: str) -> None:
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    settings = {
        "bootstrap.servers": servers,
        "group.id": f"{topic}.example",
        "isolation.level": "read_committed",  # what an aborted transaction wrote is not there
        "enable.auto.commit": False,
        "auto.offset.reset": "earliest",
    }
    consumer = Consumer(settings)
    consumer.subscribe([topic])
    try:
        consume(consumer, Seen(EVENTS_REMEMBERED))
    except KeyboardInterrupt:
        pass
    finally:
        consumer.close()


if __name__ == "__main__":
    main(*sys.argv[1:3])
