"""What features are made of, computed at the events' own times, for events whose features were not logged."""

from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from rich.console import Console

from features.arrays import Bools, Floats, UInts
from features.categories import categorical
from features.definition.model import Definition, RecordLabel, RowKind
from features.event import hash_texts
from features.lookup.history import LookupHistory
from features.past.build import BuiltSlice, SetBuilder, lowest_time_seen
from features.past.labels import LabelRecords
from features.past.order import NEVER
from stream.transport.kafka.properties import KafkaConnection
from stream.transport.kafka.ranges import TopicRanges
from stream.workers.build import SLICE_ROWS, Ordered
from stream.workers.building.topic import Wanted, read_events, read_labels
from stream.workers.progress import progress
from stream.workers.replaying.state import State, state_names


class Computed:
    """The state of events by their positions."""

    def __init__(self, definition: Definition) -> None:
        self._definition = definition
        self._names = state_names(definition)
        self._texts = categorical(definition)
        self._positions: UInts = np.empty(0, np.uint64)
        self._state = State(np.empty((0, len(self._names))), np.empty(0, np.bool_))

    def of(self, positions: UInts) -> tuple[State, Bools]:
        """Their state, and which of them were computed; the others' is missing."""
        n = len(positions)
        if not len(self._positions):
            return State(np.full((n, len(self._names)), np.nan), np.zeros(n, np.bool_)), np.zeros(n, np.bool_)
        at = np.searchsorted(self._positions, positions).clip(max=len(self._positions) - 1)
        there = self._positions[at] == positions
        found = self._state.take(at)
        values = np.where(there[:, None], found.values, np.nan)
        return State(values, found.trimmed & there), there

    def hold(self, built: Sequence[BuiltSlice], wanted: UInts) -> None:
        """Take over what was built of the wanted positions."""
        positions = [self._positions]
        values, trimmed = [self._state.values], [self._state.trimmed]
        for part in built:
            some = np.flatnonzero(np.isin(part.positions, wanted))
            positions.append(part.positions[some])
            values.append(np.stack([self._column(part, name)[some] for name in self._names], axis=1))
            trimmed.append(part.trimmed[some])
        joined = np.concatenate(positions)
        order = np.argsort(joined)
        self._positions = joined[order]
        self._state = State(np.concatenate(values)[order], np.concatenate(trimmed)[order])

    def _column(self, part: BuiltSlice, name: str) -> Floats:
        if name in self._texts:
            return hash_texts(part.texts.get(name, [None] * len(part.events)))
        return part.matrix[:, self._definition.feature_names.index(name)]


@dataclass(frozen=True, slots=True)
class Past:
    """Where the past of events is found."""

    connection: KafkaConnection
    events: str
    labels: str
    lookups: Mapping[str, LookupHistory]
    future_limit_ms: int


def compute_state(
    definition: Definition, past: Past, positions: UInts, between: tuple[int, int], console: Console
) -> Computed:
    """The state of the events at these positions, as training would see it: out of the topics, as far as
    they reach back.

    between: the first and the last of their event times. Raises `Fatal` and `HistoryError`.
    """
    computed = Computed(definition)
    start, end = between[0], between[1] + 1
    lowest = lowest_time_seen(definition, start)
    wanted = Wanted(definition, (-NEVER if lowest is None else lowest, end), past.future_limit_ms)
    labels = _labels(wanted, past, console)
    builder = SetBuilder(definition, start, end, past.lookups, labels)
    with TemporaryDirectory(prefix="riverrun-replay-") as folder:
        with closing(TopicRanges(past.connection, past.events)) as ranges:
            starts, ends = ranges.since(wanted.oldest_record_ms)
            total = sum(ends.values()) - sum(starts.values())
            with progress(console, "reading the past of events", total) as advance:
                read = ranges.read(starts, ends)
                batches, _ = read_events(wanted, read, Path(folder), SLICE_ROWS, advance)
        history = Ordered(definition, batches, SLICE_ROWS, is_ranked=False)
        with progress(console, "computing features", history.rows) as advance:
            for part in history.labelled(None, labels):
                computed.hold(list(builder.add(part)), positions)
                advance(len(part))
    return computed


def _labels(wanted: Wanted, past: Past, console: Console) -> LabelRecords | None:
    """Those that windows count; None where none does."""
    definition = wanted.definition
    if not isinstance(definition.label, RecordLabel) or not any(
        row.kind is RowKind.LABELS for row in definition.rows
    ):
        return None
    with closing(TopicRanges(past.connection, past.labels)) as ranges:
        starts, ends = ranges.since(wanted.oldest_record_ms)
        with progress(console, "reading labels", sum(ends.values()) - sum(starts.values())) as advance:
            return read_labels(wanted, ranges.read(starts, ends), advance)
