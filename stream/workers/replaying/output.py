"""Where replayed predictions go: a topic of their own, or a parquet file."""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Bools, Ints
from features.definition.model import Definition
from features.event import position_offsets, position_partitions
from models.decision import class_names
from stream.engine.fit import fit
from stream.errors import Fatal
from stream.pipeline.causes import Source
from stream.pipeline.causes import names as cause_names
from stream.pipeline.encode import (
    MESSAGE_BYTES_MIN,
    PredictionBatch,
    PredictionEncoder,
    prediction_headers,
)
from stream.records import Headers
from stream.transport.endpoints import Sink
from stream.workers.replaying.difference import Answers
from stream.workers.replaying.served import UNSERVED, Served

FLUSH_MS = 100
FEATURES_HEADER = "riverrun.features"
AS_SERVED, COMPUTED = "served", "computed"


@dataclass(frozen=True, slots=True)
class Replayed:
    """Some events, scored once more; n rows."""

    predictions: PredictionBatch
    answers: Answers
    keys: Sequence[bytes | None]
    """Of the records."""
    numbers: Ints
    """Their places in what was served."""
    as_served: Bools
    """Whether the features are the logged ones; else they were computed."""
    equal: Bools
    """To what was served, where something was."""


class Output(Protocol):
    def write(self, replayed: Replayed) -> None: ...


class NoOutput:
    """For who wants the differences alone."""

    def write(self, replayed: Replayed) -> None:
        pass


class TopicOutput:
    """Messages as a score worker writes them; a header says where the features are from."""

    def __init__(self, definition: Definition, sink: Sink, topic: str) -> None:
        room = max(sink.bytes_max(topic), MESSAGE_BYTES_MIN)
        self._encoder = PredictionEncoder(definition, message_bytes_max=room)
        self._sink, self._topic = sink, topic

    def write(self, replayed: Replayed) -> None:
        headers: dict[bool, Headers] = {
            served: [*prediction_headers([]), (FEATURES_HEADER, name.encode())]
            for served, name in ((True, AS_SERVED), (False, COMPUTED))
        }
        values = self._encoder.encode(replayed.predictions)
        of_each = [headers[served] for served in replayed.as_served.tolist()]
        unfit = fit(replayed.keys, values, of_each, self._sink.bytes_max(self._topic))
        if unfit:
            position = replayed.predictions.events.positions[unfit[:1]]
            place = f"{position_partitions(position)[0]}:{position_offsets(position)[0]}"
            raise Fatal(
                f"topic {self._topic}: the prediction of the event at {place} is larger than it takes; "
                "raise its max.message.bytes"
            )
        self._sink.produce_batch(self._topic, replayed.keys, values, of_each, lambda _: None)

    def finish(self) -> None:
        """Wait until all of it stands in the topic. Raises `Fatal`."""
        while self._sink.flush(FLUSH_MS):
            pass


class FileOutput:
    """A row for each event, with what was served beside it."""

    def __init__(self, definition: Definition, served: Served, writer: pq.ParquetWriter) -> None:
        self._definition, self._served, self._writer = definition, served, writer
        self._schema = file_schema(definition)
        self._ids_are_hidden = any(definition.field(name).personal for name in definition.id_fields)

    def write(self, replayed: Replayed) -> None:
        batch, answers, served = replayed.predictions, replayed.answers, self._served
        events, numbers = batch.events, replayed.numbers
        there = served.sources[numbers] != UNSERVED
        sources = [source.name.lower() for source in Source]
        hidden = [f"{number:016x}" for number in events.hashes.tolist()] if self._ids_are_hidden else None
        columns: list[Any] = [
            pa.array(hidden or list(events.ids), pa.string()),
            pa.array(events.times).cast(self._schema.field("event.time").type),
            pa.array(position_partitions(events.positions)),
            pa.array(position_offsets(events.positions)),
            pa.array([AS_SERVED if one else COMPUTED for one in replayed.as_served.tolist()]),
            *(pa.array(column) for column in answers.scores.T),
            pa.array(answers.decisions, pa.string()),
            pa.array(answers.control),
            pa.array([sources[source] for source in answers.sources.tolist()]),
            pa.array([cause_names(mask) for mask in batch.causes.tolist()], pa.list_(pa.string())),
            *(pa.array(column, mask=~there) for column in served.scores[numbers].T),
            pa.array([served.decisions[number] for number in numbers.tolist()], pa.string()),
            pa.array(
                [sources[source] if source >= 0 else None for source in served.sources[numbers].tolist()],
                pa.string(),
            ),
            pa.array([served.versions[number] for number in numbers.tolist()], pa.string()),
            pa.array(replayed.equal, mask=~there),
        ]
        self._writer.write_table(pa.table(columns, schema=self._schema))


def file_schema(definition: Definition) -> pa.Schema:
    """Ids with a personal part stand there as their hash, which tells them apart."""
    time = pa.int64() if definition.time.is_sequence else pa.timestamp("ms", tz="UTC")
    names = score_names(definition)
    fields: list[tuple[str, Any]] = [
        ("event.id", pa.string()),
        ("event.time", time),
        ("partition", pa.int64()),
        ("offset", pa.int64()),
        ("features", pa.string()),
        *((name, pa.float64()) for name in names),
        ("decision", pa.string()),
        ("control", pa.bool_()),
        ("source", pa.string()),
        ("degradations", pa.list_(pa.string())),
        *((f"served.{name}", pa.float64()) for name in names),
        ("served.decision", pa.string()),
        ("served.source", pa.string()),
        ("served.version", pa.string()),
        ("equal", pa.bool_()),
    ]
    return pa.schema([pa.field(name, kind) for name, kind in fields])


def score_names(definition: Definition) -> tuple[str, ...]:
    """What the columns of scores are called."""
    if definition.task == "multiclass":
        return tuple(f"probability_{name}" for name in class_names(definition))
    return ("value",) if definition.task == "regression" else ("score",)


@contextmanager
def file_output(definition: Definition, served: Served, path: Path) -> Iterator[FileOutput]:
    """The file appears under its name when it is whole."""
    unfinished = path.with_name(f".{path.name}.unfinished")
    try:
        with closing(pq.ParquetWriter(unfinished, file_schema(definition))) as writer:
            yield FileOutput(definition, served, writer)
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)


@contextmanager
def topic_output(definition: Definition, sink: Sink, topic: str) -> Iterator[TopicOutput]:
    """Everything stands in the topic when the block ends."""
    output = TopicOutput(definition, sink, topic)
    yield output
    output.finish()


def answers_of(definition: Definition, batch: PredictionBatch) -> Answers:
    """What a batch says, in the form in which it is compared."""
    names = [*(case.decision for case in definition.decisions), None]  # place -1 finds None
    return Answers(
        scores=batch.scores.reshape(len(batch.events), -1),
        sources=np.asarray(batch.sources, np.int64),
        decisions=[names[place] for place in batch.decisions.index.tolist()],
        control=batch.decisions.control,
    )
