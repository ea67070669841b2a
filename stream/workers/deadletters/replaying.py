"""Dead letters back to where they came from: which of them may go, and an account of those that went.

Letters go partition by partition, in the order of their offsets, so that records of one key come in the
order they had, and one place says how far a replay came.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from typing import Protocol

from stream.errors import Fatal
from stream.records import Headers
from stream.transport.deadletter import Letter, replayed_headers
from stream.workers.deadletters.standing import Place, Standing, Wanted

IN_FLIGHT_MAX = 1_000
WAIT_MS = 100
LAST_WAIT_MS = 10_000
"""How long a replay that is broken off waits for what it has sent."""


@dataclass(frozen=True, slots=True)
class ReplayPolicy:
    """Which letters may go, and where."""

    to: str | None
    """Another topic than the one they came from."""
    count_max: int
    """How often a record is replayed at most."""
    after: Place | None
    """The last letter that went already."""
    limit: int | None
    """How many go at most."""


@dataclass(frozen=True, slots=True)
class Sent:
    """A letter that is to go, and where; or why it stays."""

    place: Place
    topic: str = ""
    partition: int | None = None
    """None for the one that its key decides."""
    stays: str | None = None


@dataclass(slots=True)
class Plan:
    """What a replay would do, in its order."""

    going: list[Sent] = field(default_factory=list)
    staying: list[Sent] = field(default_factory=list)

    def destinations(self) -> dict[str, int]:
        """How many letters go to each topic."""
        return dict(Counter(sent.topic for sent in self.going).most_common())


def plan_replay(
    letters: Iterable[Standing], wanted: Wanted, policy: ReplayPolicy, partitions_of: Callable[[str], int]
) -> Plan:
    """letters: everything that stands in the topic from the first wanted one on, as its successors tell
    which were replayed before. partitions_of: how many partitions a topic has; 0 where there is none.
    """
    successors: dict[Place, Place] = {}
    meant: list[tuple[Place, Letter | None]] = []
    for standing in letters:
        place, letter = standing.place, standing.letter
        if letter is not None and letter.replayed is not None and letter.replayed.topic == standing.topic:
            whence = letter.replayed
            successors[Place(whence.partition, whence.offset)] = place
        if wanted.meets(standing) and (policy.after is None or place > policy.after):
            # Of the record itself nothing is needed before it goes.
            meant.append((place, None if letter is None else _bare(letter)))
    known: dict[str, int] = {}
    plan = Plan()
    for place, bare in sorted(meant, key=lambda pair: pair[0]):
        why = _why_not(place, bare, successors, policy)
        if why is not None or bare is None:
            plan.staying.append(Sent(place, stays=why))
            continue
        topic = policy.to or bare.topic
        if topic not in known:
            known[topic] = partitions_of(topic)
        if not known[topic]:
            plan.staying.append(
                Sent(place, stays=f"its topic {topic} is not there; create it, or give --to TOPIC")
            )
            continue
        if policy.limit is not None and len(plan.going) >= policy.limit:
            break
        plan.going.append(Sent(place, topic, bare.partition if bare.partition < known[topic] else None))
    return plan


class PlacesRecords(Protocol):
    """Where records are produced: `stream.transport.kafka.placing.PlacingSink`."""

    def produce(
        self,
        topic: str,
        partition: int | None,
        key: bytes | None,
        value: bytes | None,
        headers: Headers,
        answered: Callable[[bool], None],
    ) -> None: ...

    def wait(self, wait_ms: int) -> None: ...

    def flush(self, wait_ms: int) -> int: ...


@dataclass(slots=True)
class _InFlight:
    place: Place
    answered: bool = False


class Replay:
    """Sends letters in the order they are given in; says at any time how far that is."""

    def __init__(self, sink: PlacesRecords, advance: Callable[[int], None] = lambda _: None) -> None:
        """advance: is told how many more are answered."""
        self._sink = sink
        self._advance = advance
        self._sent: deque[_InFlight] = deque()
        """In order; the first one is not answered."""
        self._unacknowledged = 0
        self.acknowledged = 0
        self.too_large: list[Place] = []
        """What its topic did not take."""
        self.reached: Place | None = None
        """All up to here are answered."""

    @property
    def unacknowledged(self) -> int:
        """How many were sent and stand in their topic, or not: nobody has said."""
        return self._unacknowledged

    def send(self, letters: Iterable[Standing], where: Mapping[Place, Sent]) -> None:
        """Send those of the letters that are to go, and wait for the last acknowledgement.

        Broken off, by Ctrl-C or by what the sink raises, it still waits a while for what it has sent.
        """
        try:
            for standing in letters:
                sent = where.get(standing.place)
                if sent is not None and standing.letter is not None:
                    self._send(standing, standing.letter, sent)
            while self._sink.flush(WAIT_MS):
                pass
        except BaseException:
            with suppress(Fatal):
                self._sink.flush(LAST_WAIT_MS)
            raise

    def _send(self, standing: Standing, letter: Letter, sent: Sent) -> None:
        while self._unacknowledged >= IN_FLIGHT_MAX:
            self._sink.wait(WAIT_MS)
        place = standing.place
        one = _InFlight(place)

        def answered(stands: bool) -> None:
            one.answered = True
            self._unacknowledged -= 1
            if stands:
                self.acknowledged += 1
            else:
                self.too_large.append(place)
            while self._sent and self._sent[0].answered:
                self.reached = self._sent.popleft().place
            self._advance(1)

        self._sent.append(one)
        self._unacknowledged += 1
        headers = replayed_headers(letter, standing.topic, place.partition, place.offset)
        self._sink.produce(sent.topic, sent.partition, letter.key, letter.value, headers, answered)


def account(replay: Replay, plan: Plan) -> list[str]:
    """What became of a replay, and of one that was broken off how to go on."""
    going = len(plan.going)
    lines = [f"{replay.acknowledged:,} of {going:,} dead letters were replayed and acknowledged"]
    lines += [
        f"{place} stays: with the headers that a replay adds it is larger than its topic takes; raise "
        "max.message.bytes there"
        for place in replay.too_large
    ]
    if replay.acknowledged + len(replay.too_large) == going:
        return lines
    if replay.unacknowledged:
        lines.append(
            f"{replay.unacknowledged:,} more were sent and not acknowledged: they may be there, and would "
            "come twice"
        )
    after = "" if replay.reached is None else f" and --after {replay.reached}"
    return [*lines, f"go on with the same flags{after}"]


def plan_lines(plan: Plan) -> Sequence[str]:
    """What a replay would do, a line for each letter."""
    lines = [
        f"{sent.place} -> {sent.topic} "
        + ("by its key" if sent.partition is None else f"partition {sent.partition}")
        for sent in plan.going
    ]
    return [*lines, *stay_lines(plan)]


def stay_lines(plan: Plan) -> list[str]:
    """Which letters stay, and why."""
    return [f"{sent.place} stays: {sent.stays}" for sent in plan.staying]


def _why_not(
    place: Place, letter: Letter | None, successors: Mapping[Place, Place], policy: ReplayPolicy
) -> str | None:
    if letter is None:
        return "somebody else wrote it, and it does not say where it comes from"
    if letter.cut is not None:
        return f"it was cut to fit the topic, so that the record is not whole ({letter.cut})"
    if place in successors:
        return f"it was replayed before, and failed again as {successors[place]}"
    if letter.count >= policy.count_max:
        return f"it was replayed {letter.count} times, and failed each time; --count-max allows more"
    return None


def _bare(letter: Letter) -> Letter:
    return replace(letter, key=None, value=None, headers=[])
