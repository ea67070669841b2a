"""Scored events as they reach the encoder."""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from features.arrays import Floats
from features.definition.model import Definition
from features.event import EventBatch
from stream.pipeline.decide import Decisions
from stream.pipeline.decode import Decoder
from stream.pipeline.encode import (
    MESSAGE_BYTES_MIN,
    ModelStamp,
    PredictionBatch,
    PredictionEncoder,
    Reason,
)
from tests.stream.definitions import json_records

SCORED_AT = 1_714_557_601_000
STAMPS = (
    ModelStamp(name="m", version="7", digest="ab" * 32, variant="champion"),
    ModelStamp(name="m", version="6", digest="cd" * 32, variant="previous"),
    ModelStamp(name="rules", version="12ab", digest=None, variant="rules"),
)


def decoded(definition: Definition, *values: Mapping[str, Any]) -> EventBatch:
    """Valid events."""
    result = Decoder(definition, future_limit_ms=0).decode(json_records(*values))
    assert result.rejected == []
    return result.events


def scored(
    definition: Definition,
    events: EventBatch,
    scores: Floats,
    *,
    matrix: Floats | None = None,
    sources: Sequence[int] | int = 0,
    decisions: Sequence[int] | int = 0,
    control: Sequence[bool] | bool = False,
    causes: Sequence[int] | int = 0,
    freshness: Sequence[float] | float = 0.0,
    reasons: Mapping[int, Sequence[Reason]] | None = None,
) -> PredictionBatch:
    """A batch in which whatever is not given is the same for all and healthy."""
    n = len(events)
    zeros, index = np.zeros(n, np.int64), np.broadcast_to(np.array(decisions, np.int64), (n,))
    marked = np.zeros(n, np.bool_) | np.array(control, np.bool_)
    return PredictionBatch(
        topic="t.events",
        events=events,
        scores=scores,
        sources=zeros + np.array(sources, np.int64),
        models=STAMPS,
        decisions=Decisions(index, marked, zeros > 0),
        causes=zeros + np.array(causes, np.int64),
        freshness=np.zeros(n) + np.array(freshness, np.float64),
        reasons=reasons or {},
        matrix=np.ones((n, len(definition.feature_names))) if matrix is None else matrix,
        columns=events.columns,
        scored_at=SCORED_AT,
    )


def encoded(definition: Definition, batch: PredictionBatch, limit: int = 1 << 20) -> list[dict[str, Any]]:
    """What readers get."""
    messages = PredictionEncoder(definition, message_bytes_max=max(limit, MESSAGE_BYTES_MIN)).encode(batch)
    return [msgspec.json.decode(message) for message in messages]
