"""Builders for the demo's tests: tables, and records as a worker would read them."""

from collections.abc import Sequence

import numpy as np

from features.definition.model import Definition
from stream.demo.messages import Messages, Record
from stream.pipeline.decode import Decoded, Decoder
from stream.records import RecordBatch

NOW_MS = 1_760_000_000_000
FUTURE_LIMIT_MS = 3_600_000


def batch_of(sent: Messages | Sequence[Record]) -> RecordBatch:
    """Records of one partition, all stamped `NOW_MS`."""
    records = sent.events if isinstance(sent, Messages) else sent
    n = len(records)
    return RecordBatch(
        topic="events",
        partitions=np.zeros(n, np.int64),
        offsets=np.arange(n),
        timestamps=np.full(n, NOW_MS),
        keys=[key for key, _ in records],
        values=[value for _, value in records],
        headers=lambda _: [],
    )


def decoded(definition: Definition, records: RecordBatch) -> Decoded:
    return Decoder(definition, future_limit_ms=FUTURE_LIMIT_MS).decode(records)
