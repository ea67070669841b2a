"""The checker: holds everything that came out of a fleet against the books, position by position."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from tests.chaos.harness.books import Sent
from tests.chaos.harness.outputs import Letter, Predicted
from tests.integration.records import Position

EXAMPLES_MAX = 10


@dataclass(slots=True)
class Finding:
    """How often something was found, and the first examples."""

    count: int = 0
    examples: list[str] = field(default_factory=list)

    def add(self, example: str) -> None:
        self.count += 1
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append(example)


@dataclass(slots=True)
class Account:
    """Of one fleet."""

    events: int = 0
    """Records that had to be predicted."""
    predictions: int = 0
    poison: int = 0
    """Records that had to be dead-lettered."""
    letters: int = 0
    lost: Finding = field(default_factory=Finding)
    """Events without a prediction, and poison without a dead letter."""
    duplicated: Finding = field(default_factory=Finding)
    """Records answered more than once."""
    disordered: Finding = field(default_factory=Finding)
    """First answers of a key that came after that of a later record of the same source partition."""
    wrongly_lettered: Finding = field(default_factory=Finding)
    """Events that were dead-lettered, and dead letters of another reason or with other bytes."""
    strangers: Finding = field(default_factory=Finding)
    """Answers to nothing that was sent, to poison, or under another event's id, key or time."""


def account(books: Iterable[Sent], predictions: Sequence[Predicted], letters: Sequence[Letter]) -> Account:
    """predictions, letters: in the order of their logs, within each partition."""
    sent = {one.position: one for one in books}
    found = Account(
        events=sum(one.reason is None for one in sent.values()),
        predictions=len(predictions),
        poison=sum(one.reason is not None for one in sent.values()),
        letters=len(letters),
    )
    predicted = Counter(p.of for p in predictions)
    lettered = Counter(letter.of for letter in letters)
    for position, one in sent.items():
        answers = predicted[position] if one.reason is None else lettered[position]
        if not answers:
            found.lost.add(f"{one.kind} at {position}")
        elif answers > 1:
            found.duplicated.add(f"{one.kind} at {position}: {answers} times")
    _judge_order(found, predictions)
    _judge_letters(found, sent, letters)
    _judge_identities(found, sent, predictions)
    return found


def first_answers(predictions: Sequence[Predicted]) -> list[Predicted]:
    """What a consumer takes that keeps the first prediction of an event."""
    seen: set[Position] = set()
    return [p for p in predictions if p.of not in seen and not seen.add(p.of)]  # type: ignore[func-returns-value]  # None


def _judge_order(found: Account, predictions: Sequence[Predicted]) -> None:
    """By source partition and key. Records without a key go anywhere, in no order."""
    newest: dict[tuple[int, bytes], int] = {}
    for one in first_answers(predictions):
        if one.key is None:
            continue
        partition, offset = one.of
        before = newest.setdefault((partition, one.key), offset)
        if offset < before:
            found.disordered.add(f"{one.of} came after {(partition, before)}")
        newest[partition, one.key] = max(before, offset)


def _judge_letters(found: Account, sent: Mapping[Position, Sent], letters: Sequence[Letter]) -> None:
    for letter in letters:
        one = sent.get(letter.of)
        reason = letter.said("reason")
        if one is None:
            found.strangers.add(f"a dead letter of {letter.of}")
        elif one.reason is None:
            found.wrongly_lettered.add(
                f"{one.kind} at {letter.of} is an event: {reason}, {letter.said('detail')}"
            )
        elif reason != one.reason:
            found.wrongly_lettered.add(f"{one.kind} at {letter.of}: {reason} instead of {one.reason}")
        elif not _untouched(letter, one):
            found.wrongly_lettered.add(f"{one.kind} at {letter.of} has other bytes than were sent")


def _untouched(letter: Letter, one: Sent) -> bool:
    own = letter.headers[: len(one.headers)]
    if letter.said("cut") is not None:
        return (one.value or b"").startswith(letter.value or b"") and letter.key in (one.key, None)
    return letter.key == one.key and letter.value == one.value and list(own) == list(one.headers)


def _judge_identities(
    found: Account, sent: Mapping[Position, Sent], predictions: Sequence[Predicted]
) -> None:
    for one in predictions:
        known = sent.get(one.of)
        if known is None or known.visit is None:
            found.strangers.add(f"a prediction of {one.of}, {known.kind if known else 'which nobody sent'}")
            continue
        visit = known.visit
        said = (one.event_id, one.event_time, one.entity_key, one.key)
        if said != (visit.visit, visit.at, visit.person, known.key):
            found.strangers.add(f"{one.of} is {said}")
