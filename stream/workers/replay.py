"""`riverrun replay`: a range of the events topic scored once more by any bundle, against what was served."""

from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console

from features.arrays import Ints, UInts
from models.bundle import CATEGORIES, Bundle, load_bundle
from models.categories import decode_categories
from stream.clock import now_ms
from stream.config import Settings, Topics, kafka_connection, load_usecase, topics_of
from stream.errors import ConfigurationError, ExitCode, Fatal, SettingProblem
from stream.pipeline.decode import Decoder
from stream.records import RecordBatch
from stream.transport.kafka import KafkaConnection, KafkaSink
from stream.transport.kafka.limits import TopicLimits
from stream.transport.kafka.ranges import TopicRanges
from stream.transport.kafka.topics import KafkaTopics
from stream.workers.lookups import read_lookups
from stream.workers.progress import progress
from stream.workers.replaying.computed import Computed, Past, compute_state
from stream.workers.replaying.difference import Difference
from stream.workers.replaying.output import (
    NoOutput,
    Output,
    Replayed,
    answers_of,
    file_output,
    topic_output,
)
from stream.workers.replaying.rescore import Circumstances, Rescorer
from stream.workers.replaying.served import Served
from stream.workers.replaying.span import Bound, EventRange, read_range
from stream.workers.replaying.state import State, state_names

SLACK_MS = 3_600_000
"""So far may the clocks of producers be ahead of those that predictions were written by."""


@dataclass(frozen=True, slots=True)
class ReplayRequest:
    """One replay."""

    bundle: str
    """A directory, or a version in the directory of bundles."""
    first: Bound
    last: Bound | None
    topic_out: str | None
    out: Path | None
    lookups: tuple[str, ...] = ()
    """Files of lookups, as `stream.workers.lookups.read_lookups` takes them."""
    computed: bool = False
    """Whether features are computed though they were logged."""


@dataclass(slots=True)
class Tally:
    """What became of the records of a range."""

    records: int = 0
    rejected: int = 0
    unscored: int = 0
    as_served: int = 0
    computed: int = 0

    def lines(self, topic: str, bundle: Bundle) -> Iterator[str]:
        """For people."""
        yield f"bundle:    {bundle.version}, {bundle.digest[:12]}"
        more = [
            f"{count:,} {what}"
            for count, what in ((self.rejected, "rejected"), (self.unscored, "not to be scored"))
            if count
        ]
        yield f"records:   {self.records:,} of {topic}" + "".join(f", {text}" for text in more)
        yield f"features:  {self.as_served:,} as served, {self.computed:,} computed"


def run(settings: Settings, request: ReplayRequest) -> int:
    """Replay, and say what came of it.

    Raises `DefinitionError`, `ConfigurationError`, `BundleRefused`, `HistoryError`, `LookupTableError`,
    `Fatal` and OSError.
    """
    console = Console(highlight=False)
    usecase = load_usecase(settings)
    topics = topics_of(settings, usecase.name)
    bundle = load_bundle(_bundle_path(settings, request.bundle))
    _check(usecase.name, bundle, topics, request)
    with closing(_Replay(settings, topics, bundle, request)) as replay:
        tally, difference = replay.run()
    for text in (*tally.lines(topics.events, bundle), *difference.lines()):
        console.print(text, soft_wrap=True, markup=False)
    return ExitCode.OK


class _Replay:
    """The steps of a replay, and what they share."""

    def __init__(self, settings: Settings, topics: Topics, bundle: Bundle, request: ReplayRequest) -> None:
        self._settings, self._topics, self._bundle, self._request = settings, topics, bundle, request
        self._definition = bundle.definition
        self._connection: KafkaConnection = kafka_connection(settings)
        self._decoder = Decoder(bundle.definition, future_limit_ms=settings.future_limit_ms)
        self._console = Console(stderr=True, highlight=False)
        self._ranges = TopicRanges(self._connection, topics.events)
        self._events = EventRange(topics.events, {}, {})
        self._tally, self._difference = Tally(), Difference()

    def close(self) -> None:
        self._ranges.close()

    def run(self) -> tuple[Tally, Difference]:
        self._events = read_range(self._ranges, self._request.first, self._request.last)
        served = self._served()
        computed = self._computed(served)
        rescorer = Rescorer(self._bundle)
        with (
            self._output(served) as output,
            progress(self._console, "scoring", self._events.records) as advance,
        ):
            for records in self._read():
                replayed = self._again(rescorer, records, served, computed)
                if replayed is not None:
                    output.write(replayed)
                advance(len(records))
        return self._tally, self._difference

    def _served(self) -> Served:
        """Every prediction that answers an event of the range."""
        file = self._bundle.path / CATEGORIES
        categories = decode_categories(self._definition, file.read_bytes() if file.exists() else b"{}")
        served = Served(self._definition, categories, self._bundle.digest, self._events)
        with closing(TopicRanges(self._connection, self._topics.predictions)) as ranges:
            starts, ends = ranges.since(self._oldest_ms() - SLACK_MS)
            total = sum(ends[partition] - start for partition, start in starts.items())
            with progress(self._console, "reading predictions", total) as advance:
                served.read(ranges.read(starts, ends), advance)
        if self._request.computed:
            served.has_state[:] = False
        return served

    def _oldest_ms(self) -> int:
        """No prediction of the range is older."""
        if isinstance(self._request.first, int):
            return self._request.first
        times: list[int] = []
        with closing(TopicRanges(self._connection, self._topics.events)) as ranges:
            for partition, start in self._events.starts.items():
                first = next(
                    iter(ranges.read({partition: start}, {partition: self._events.ends[partition]})), None
                )
                if first is not None:
                    times.append(int(first.timestamps[0]))
        return min(times, default=0)

    def _computed(self, served: Served) -> Computed:
        """The state of all events whose features were not logged."""
        names = state_names(self._definition)
        lacking: list[UInts] = []
        between: list[int] = []
        if names and not served.has_state.all():
            with progress(self._console, "looking for features", self._events.records) as advance:
                for records in self._read():
                    events = self._decoder.decode(records)
                    chosen = events.events.take(np.flatnonzero(events.scored))
                    without = np.flatnonzero(~served.has_state[self._events.numbers(chosen.positions)])
                    lacking.append(chosen.positions[without])
                    between += chosen.times[without].tolist()
                    advance(len(records))
        if not between:
            return Computed(self._definition)
        past = Past(
            self._connection,
            self._topics.events,
            self._topics.labels,
            read_lookups(self._definition, self._request.lookups),
            self._settings.future_limit_ms,
        )
        positions = np.concatenate(lacking)
        return compute_state(self._definition, past, positions, (min(between), max(between)), self._console)

    def _read(self) -> Iterator[RecordBatch]:
        return self._ranges.read(self._events.starts, self._events.ends)

    def _again(
        self, rescorer: Rescorer, records: RecordBatch, served: Served, computed: Computed
    ) -> Replayed | None:
        """A batch of records scored once more; None where there is nothing to score."""
        decoded = self._decoder.decode(records)
        scored = np.flatnonzero(decoded.scored)
        tally = self._tally
        tally.records += len(records)
        tally.rejected += len(decoded.rejected)
        tally.unscored += len(decoded.events) - len(scored)
        if not len(scored):
            return None
        events = decoded.events.take(scored)
        numbers = self._events.numbers(events.positions)
        as_served = served.has_state[numbers]
        tally.as_served += int(as_served.sum())
        tally.computed += int((~as_served).sum())
        around = Circumstances(
            state=_either(served, numbers, computed.of(events.positions)[0]),
            causes=np.where(as_served, served.causes[numbers], 0),
            freshness=np.where(as_served, served.freshness[numbers], np.nan),
        )
        batch = rescorer.score(records.topic, events, decoded.causes[scored], around, now_ms())
        answers = answers_of(self._definition, batch)
        equal = self._difference.add(served, numbers, answers)
        keys = [records.keys[at] for at in decoded.index[scored].tolist()]
        return Replayed(batch, answers, keys, numbers, as_served, equal)

    @contextmanager
    def _output(self, served: Served) -> Iterator[Output]:
        request = self._request
        if request.out is not None:
            with file_output(self._definition, served, request.out) as file:
                yield file
        elif request.topic_out is not None:
            with closing(KafkaTopics(self._connection, f"{request.topic_out}.replay")) as known:
                if not known.partitions_of(request.topic_out):
                    raise Fatal(f"topic {request.topic_out} is not there: create it, then replay again")
            limits = TopicLimits(self._connection, [request.topic_out])
            limits.read(lambda: None)
            with (
                closing(KafkaSink(self._connection, limits=limits)) as sink,
                topic_output(self._definition, sink, request.topic_out) as topic,
            ):
                yield topic
        else:
            yield NoOutput()


def _either(served: Served, numbers: Ints, computed: State) -> State:
    """As served where it was logged, else as computed."""
    state, logged = served.state(numbers), served.has_state[numbers]
    return State(
        np.where(logged[:, None], state.values, computed.values),
        np.where(logged, state.trimmed, computed.trimmed),
    )


def _bundle_path(settings: Settings, bundle: str) -> Path:
    if settings.models is not None and not Path(bundle).exists():
        return settings.models / bundle
    return Path(bundle)


def _check(name: str, bundle: Bundle, topics: Topics, request: ReplayRequest) -> None:
    """Raises `ConfigurationError` with everything that does not go together."""
    problems: list[SettingProblem] = []
    origin = "the command line"
    if bundle.name != name:
        cause = f"{bundle.path} is of {bundle.name}, and the use case file of {name}"
        problems.append(SettingProblem("--bundle", origin, cause, "give a bundle of the use case"))
    own = {topic: kind for kind, topic in asdict(topics).items()}
    if request.topic_out in own:
        cause = f"{request.topic_out} is the topic for {own[request.topic_out]} of {name}"
        problems.append(SettingProblem("--topic-out", origin, cause, "give a topic of its own"))
    if problems:
        raise ConfigurationError(problems)
