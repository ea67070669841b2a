"""`riverrun deadletters`: the dead-letter topic of a use case, read without joining a group."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass, field

from rich.console import Console

from features.definition.model import Definition
from stream.config import Settings, Topics, kafka_connection, load_usecase, topics_of
from stream.errors import ConfigurationError, Fatal, SettingProblem
from stream.transport.kafka.limits import TopicLimits
from stream.transport.kafka.placing import PlacingSink
from stream.transport.kafka.properties import KafkaConnection
from stream.transport.kafka.ranges import Offsets, TopicRanges
from stream.transport.kafka.topics import KafkaTopics
from stream.workers.deadletters.listing import Listing, list_letters
from stream.workers.deadletters.replaying import Plan, Replay, ReplayPolicy, Sent, plan_replay
from stream.workers.deadletters.standing import Place, Standing, Wanted, extent, read_standing, stands
from stream.workers.progress import Advance, progress


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """The dead-letter topic of a use case. Every method may raise `Fatal`."""

    definition: Definition
    topics: Topics
    connection: KafkaConnection
    console: Console = field(default_factory=lambda: Console(stderr=True, highlight=False))
    """Where progress is shown."""

    @classmethod
    def of(cls, settings: Settings) -> "DeadLetters":
        """Raises `DefinitionError` and `ConfigurationError`."""
        definition = load_usecase(settings)
        return cls(definition, topics_of(settings, definition.name), kafka_connection(settings))

    def list(self, wanted: Wanted, limit: int | None) -> Listing:
        """limit: how many get a line."""
        with closing(self._ranges()) as ranges:
            starts, ends = extent(ranges, wanted)
            with self._reading(starts, ends) as advance:
                letters = read_standing(ranges, starts, ends, advance)
                return list_letters((one for one in letters if wanted.meets(one)), limit)

    def at(self, place: Place) -> Standing:
        """The letter that stands there."""
        with closing(self._ranges()) as ranges:
            starts, ends = ranges.whole()
            partition, offset = place.partition, place.offset
            if partition in starts and starts[partition] <= offset < ends[partition]:
                for records in ranges.read({partition: offset}, {partition: offset + 1}):
                    return stands(records, 0)
        low, high = starts.get(partition, 0), ends.get(partition, 0)
        cause = (
            f"its offsets are {low} to {high - 1}" if low < high else f"partition {partition} holds nothing"
        )
        raise Fatal(
            f"topic {self.topics.deadletters}: there is no dead letter at {place}, {cause}; "
            "`riverrun deadletters list` says where they are"
        )

    def plan(self, wanted: Wanted, policy: ReplayPolicy) -> Plan:
        """What a replay would send. Raises `ConfigurationError` for a topic that nothing may be sent to."""
        if policy.to in (self.topics.deadletters, self.topics.predictions, self.topics.labels):
            cause = f"{policy.to} is a topic of {self.definition.name} that holds no events"
            raise ConfigurationError(
                [SettingProblem("--to", "the command line", cause, "give a topic of events, or leave it out")]
            )
        with (
            closing(self._ranges()) as ranges,
            closing(KafkaTopics(self.connection, f"{self.topics.deadletters}.replay")) as known,
        ):
            starts, ends = extent(ranges, wanted)
            with self._reading(starts, ends) as advance:
                letters = read_standing(ranges, starts, ends, advance)
                return plan_replay(letters, wanted, policy, known.partitions_of)

    def replay(self, plan: Plan, started: Callable[[Replay], None]) -> None:
        """Send what the plan says. started: is given what tells how far it is, before the first is sent."""
        where = {sent.place: sent for sent in plan.going}
        limits = TopicLimits(self.connection, sorted(plan.destinations()))
        limits.read(lambda: None)
        with (
            closing(self._ranges()) as ranges,
            closing(PlacingSink(self.connection, limits=limits)) as sink,
            progress(self.console, "replaying", len(where)) as advance,
        ):
            replay = Replay(sink, advance)
            started(replay)
            replay.send(_in_order(ranges, where), where)

    def _ranges(self) -> TopicRanges:
        return TopicRanges(self.connection, self.topics.deadletters)

    def _reading(self, starts: Offsets, ends: Offsets) -> AbstractContextManager[Advance]:
        total = sum(ends[partition] - start for partition, start in starts.items())
        return progress(self.console, "reading dead letters", total)


def _in_order(ranges: TopicRanges, where: Mapping[Place, Sent]) -> Iterator[Standing]:
    """What stands at these places and between them, partition by partition."""
    for partition in sorted({place.partition for place in where}):
        offsets = [place.offset for place in where if place.partition == partition]
        yield from read_standing(
            ranges, {partition: min(offsets)}, {partition: max(offsets) + 1}, lambda _: None
        )
