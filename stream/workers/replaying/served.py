"""What was served for a range of events: predictions, the first of each event, with features as served."""

from collections.abc import Iterable
from typing import Any

import msgspec
import numpy as np

from features.arrays import Floats, Ints
from features.categories import Categories, categorical
from features.definition.model import Definition, LookupFeature
from features.event import pack_positions
from models.decision import class_names
from models.scorer import output_count
from stream.pipeline.causes import Cause, Source
from stream.pipeline.encode import SCHEMA
from stream.records import RecordBatch
from stream.workers.progress import Advance
from stream.workers.replaying.span import EventRange
from stream.workers.replaying.state import State, hashes_of_codes, state_names

UNSERVED = -1
_SOURCES = {source.name.lower(): int(source) for source in Source}
_CAUSES = {cause.name.lower(): int(cause) for cause in Cause if cause.name is not None}


class _Origin(msgspec.Struct):
    topic: str
    partition: int
    offset: int


class _Whence(msgspec.Struct):
    """All that is read of predictions of other events."""

    schema: str
    origin: _Origin


class _Model(msgspec.Struct):
    version: str
    digest: str | None = None


class _Prediction(msgspec.Struct):
    decision: str | None
    control: bool
    source: str
    degradations: list[str]
    model: _Model
    score: float | None = None
    value: float | None = None
    probabilities: dict[str, float] | None = None
    freshness_ms: float | None = None
    freshness_steps: float | None = None
    features: dict[str, float | None] | None = None


class Served:
    """One row for each record of a range; n rows."""

    def __init__(
        self, definition: Definition, categories: Categories, digest: str, events: EventRange
    ) -> None:
        """definition, categories, digest: of the model that scores again; they say which features count."""
        n = events.records
        self._definition, self._categories, self._digest = definition, categories, digest
        self._events = events
        self._names = state_names(definition)
        texts = categorical(definition)
        self._coded = [name for name in self._names if isinstance(texts.get(name), LookupFeature)]
        self._classes = class_names(definition)
        self.scores: Floats = np.full((n, output_count(definition)), np.nan)
        self.sources: Ints = np.full(n, UNSERVED)
        """`Source`; `UNSERVED` where no prediction was found."""
        self.decisions: list[str | None] = [None] * n
        self.control = np.zeros(n, np.bool_)
        self.causes: Ints = np.zeros(n, np.int64)
        self.freshness: Floats = np.full(n, np.nan)
        self.versions: list[str | None] = [None] * n
        self.has_state = np.zeros(n, np.bool_)
        """Whether the features were logged."""
        self._state: Floats = np.full((n, len(self._names)), np.nan)
        self.unreadable = 0
        """Records of the topic that are no prediction of a known version."""

    def read(self, batches: Iterable[RecordBatch], advance: Advance) -> None:
        """Take the predictions of the range's events; of several for one event the first that comes."""
        whence = msgspec.json.Decoder(_Whence).decode
        for records in batches:
            found: list[tuple[_Whence, bytes]] = []
            for value in records.values:
                try:
                    one = whence(value or b"")
                except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
                    self.unreadable += 1
                    continue
                if one.schema == SCHEMA and one.origin.topic == self._events.topic:
                    found.append((one, value or b""))
            self._take(found)
            advance(len(records))

    def state(self, numbers: Ints) -> State:
        """As served, of the events with these numbers."""
        trimmed = (self.causes[numbers] & int(Cause.TRIMMED)) != 0
        return State(self._state[numbers], trimmed)

    def _take(self, found: list[tuple[_Whence, bytes]]) -> None:
        partitions = np.array([one.origin.partition for one, _ in found], np.int64)
        offsets = np.array([one.origin.offset for one, _ in found], np.int64)
        numbers = self._events.numbers(pack_positions(partitions, offsets))
        decode = msgspec.json.Decoder(_Prediction).decode
        for at in np.flatnonzero(numbers >= 0).tolist():
            number = int(numbers[at])
            if self.sources[number] == UNSERVED:
                try:
                    self._put(number, decode(found[at][1]))
                except (msgspec.DecodeError, UnicodeDecodeError, KeyError):
                    self.unreadable += 1

    def _put(self, number: int, one: _Prediction) -> None:
        source = _SOURCES[one.source]
        self.scores[number] = self._answer(one)
        self.sources[number] = source
        self.decisions[number] = one.decision
        self.control[number] = one.control
        # Causes of a newer riverrun are not known here, and are left out.
        self.causes[number] = sum(_CAUSES.get(name, 0) for name in set(one.degradations))
        age = one.freshness_steps if self._definition.time.is_sequence else one.freshness_ms
        self.freshness[number] = np.nan if age is None else age
        self.versions[number] = one.model.version
        if one.features is not None:
            self.has_state[number] = self._put_state(number, one.features, one.model.digest)

    def _put_state(self, number: int, features: dict[str, float | None], digest: str | None) -> bool:
        if not all(name in features for name in self._names):
            return False
        if self._coded and digest != self._digest:
            return False  # codes mean something only to the model they were made for
        row = [features[name] for name in self._names]
        self._state[number] = [np.nan if value is None else value for value in row]
        for name in self._coded:
            at = self._names.index(name)
            self._state[number, at] = hashes_of_codes(
                self._categories, name, self._state[number, at : at + 1]
            )[0]
        return True

    def _answer(self, one: _Prediction) -> Any:
        if self._classes:
            given = one.probabilities or {}
            return [given.get(name, np.nan) for name in self._classes]
        answer = one.value if self._definition.task == "regression" else one.score
        return np.nan if answer is None else answer
