"""How long it took after each fault until predictions flowed again, and how long a record waited."""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from tests.chaos.harness.books import Sent
from tests.chaos.harness.outputs import Letter, Outputs, Predicted
from tests.integration.records import Position

_LOOKED_AT_MS = 10_000
"""Every partition has new records within so long after a fault."""


@dataclass(frozen=True, slots=True)
class Recovery:
    """After one fault, for one fleet."""

    kind: str
    after_end_s: float
    """From when it was undone until, in every partition, something that came after that was answered."""
    from_begin_s: float
    """The longest that any record waited for its answer that came after the fault began and before that."""


def recoveries(
    books: Sequence[Sent], outputs: Outputs, faults: Sequence[tuple[str, int, int]]
) -> list[Recovery]:
    """faults: kind, begin and end. books: in the order of acknowledgement."""
    first: dict[Position, int] = {}
    answers: list[Predicted | Letter] = [*outputs.predictions, *outputs.letters]
    for answer in answers:
        first[answer.of] = min(first.get(answer.of, answer.read_ms), answer.read_ms)
    return [_recovery(books, first, *fault) for fault in faults]


def _recovery(
    books: Sequence[Sent], first: dict[Position, int], kind: str, begin_ms: int, end_ms: int
) -> Recovery:
    after: dict[int, int] = {}
    until_ms = end_ms + _LOOKED_AT_MS
    for one in books[_place(books, end_ms) : _place(books, until_ms)]:
        if one.position[0] not in after and one.position in first:
            after[one.position[0]] = first[one.position]
    flowing_ms = max([*after.values(), end_ms])
    waits = [
        first[one.position] - one.acked_ms
        for one in books[_place(books, begin_ms) : _place(books, flowing_ms)]
        if one.position in first
    ]
    return Recovery(kind, (flowing_ms - end_ms) / 1000, max([0, *waits]) / 1000)


def _place(books: Sequence[Sent], at_ms: int) -> int:
    """Of the first record that was acknowledged then or later."""
    return bisect_left(books, at_ms, key=lambda one: one.acked_ms)
