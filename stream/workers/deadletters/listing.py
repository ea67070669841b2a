"""A line for every dead letter, and how many there are of each reason; nothing of the records themselves."""

import heapq
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec
from rich import box
from rich.table import Table
from rich.text import Text

from stream.workers.deadletters.standing import Standing

FOREIGN = "unknown"
"""What stands for the reason of a record that is no dead letter of ours."""


@dataclass(frozen=True, slots=True)
class Listing:
    """What is listed."""

    lines: list[dict[str, Any]]
    """The newest ones, in the order of time."""
    counts: dict[str, int]
    """By reason, of all that are meant; the most frequent first."""
    again: int
    """How many of all had been replayed before."""


def list_letters(letters: Iterable[Standing], limit: int | None) -> Listing:
    """limit: how many have a line; None for all."""
    counts: Counter[str] = Counter()
    again = 0
    newest: list[tuple[int, int, int, dict[str, Any]]] = []
    for standing in letters:
        letter = standing.letter
        counts[letter.reason if letter else FOREIGN] += 1
        again += letter is not None and letter.replayed is not None
        # The place decides between two of the same moment, so that lines are never compared.
        entry = (standing.when, standing.place.partition, standing.place.offset, line(standing))
        if limit is None or len(newest) < limit:
            heapq.heappush(newest, entry)
        elif limit:
            heapq.heappushpop(newest, entry)
    lines = [entry[3] for entry in sorted(newest, key=lambda entry: entry[:3])]
    return Listing(lines, dict(counts.most_common()), again)


def line(standing: Standing) -> dict[str, Any]:
    """One letter as data: what `--format json` prints."""
    letter = standing.letter
    found: dict[str, Any] = {
        "partition": standing.place.partition,
        "offset": standing.place.offset,
        "when": moment(standing.when),
    }
    if letter is None:
        return found | {"reason": FOREIGN, "bytes": len(standing.value or b"")}
    found |= {
        "reason": letter.reason,
        "field": letter.field,
        "detail": letter.detail,
        "use_case": letter.use_case,
        "from": {"topic": letter.topic, "partition": letter.partition, "offset": letter.offset},
        "bytes": letter.value_bytes,
        "cut": letter.cut is not None,
        "replayed": None,
    }
    if letter.replayed is not None:
        whence = letter.replayed
        found["replayed"] = {
            "count": whence.count,
            "topic": whence.topic,
            "partition": whence.partition,
            "offset": whence.offset,
        }
    return found


def table_of(listing: Listing) -> Table:
    """For people. Every text is taken as it is, not as markup."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for name in ("where", "when", "reason", "field", "from", "bytes", "replayed"):
        table.add_column(name, justify="right" if name == "bytes" else "left", overflow="fold")
    for one in listing.lines:
        whence, origin = one.get("replayed"), one.get("from")
        cells = (
            f"{one['partition']}:{one['offset']}",
            one["when"],
            one["reason"],
            one.get("field") or "",
            f"{origin['topic']} {origin['partition']}:{origin['offset']}" if origin else "",
            f"{one['bytes']:,}" + (" cut" if one.get("cut") else ""),
            f"{whence['count']}×, last from {whence['partition']}:{whence['offset']}" if whence else "",
        )
        table.add_row(*(Text(printable(cell)) for cell in cells))
    return table


def count_lines(listing: Listing) -> list[str]:
    """How many there are of each reason."""
    total = sum(listing.counts.values())
    shown = f", the newest {len(listing.lines):,} above" if 0 < len(listing.lines) < total else ""
    lines = [f"{total:,} dead letters{shown}"]
    lines += [f"{count:>9,}  {printable(reason)}" for reason, count in listing.counts.items()]
    if listing.again:
        lines.append(f"{listing.again:,} of them had been replayed and failed again")
    return lines


def json_line(one: dict[str, Any]) -> str:
    return msgspec.json.encode(one).decode()


def moment(ms: int) -> str:
    """UTC, to the second."""
    if ms < 0:
        return "unknown"
    return datetime.fromtimestamp(ms // 1000, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def printable(text: str) -> str:
    """A text that does nothing to a terminal."""
    return "".join(c if c.isprintable() else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    return character.encode("unicode_escape", "backslashreplace").decode("ascii", "replace")
