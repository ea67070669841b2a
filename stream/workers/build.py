"""`riverrun features build`: the point-in-time training set, through data larger than memory."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from rich.console import Console

from features.arrays import Floats
from features.definition.model import Definition, DerivedLabel, RecordLabel
from features.event import hash_ids
from features.lookup.history import LookupHistory
from features.past.build import SetBuilder, lowest_time_seen
from features.past.labels import LabelRecords, derived_in_order
from features.past.order import NEVER, Batches, Slice, in_time_order, ranked, waiting_rows
from features.past.texts import Texts
from models.training.run import TrainingError
from stream.config import Settings, kafka_connection, load_usecase, topics_of
from stream.errors import ExitCode
from stream.transport.kafka.ranges import TopicRanges
from stream.workers.building.files import FileBatches
from stream.workers.building.output import SetWriter, writing
from stream.workers.building.spill import boundaries, spill
from stream.workers.building.topic import Wanted, read_events, read_labels
from stream.workers.lookups import read_lookups
from stream.workers.progress import Advance, progress
from stream.workers.train import parse_moment

SLICE_ROWS = 2_000_000
"""How many events are held and evaluated at a time, besides those that are carried over."""


@dataclass(frozen=True, slots=True)
class Span:
    """What is built: events with start <= time < end."""

    definition: Definition
    start: int
    end: int

    @classmethod
    def read(cls, definition: Definition, start: str, end: str) -> "Span":
        """Raises `TrainingError`."""
        first, last = (parse_moment(definition, text) for text in (start, end))
        if first >= last:
            raise TrainingError(f"--to {end} is not after --from {start}", "It is left out")
        return cls(definition, first, last)

    @property
    def seen(self) -> tuple[int, int]:
        """Between which times events matter to those that are built, or to their labels."""
        lowest = lowest_time_seen(self.definition, self.start)
        open_ended = isinstance(self.definition.label, DerivedLabel)
        return (-NEVER if lowest is None else lowest), (NEVER if open_ended else self.end)


def run(
    settings: Settings, data: tuple[Path, ...], start: str, end: str, out: Path, lookups: tuple[str, ...]
) -> int:
    """Build from parquet files, together one history, and say what came of it.

    start, end: event times, as in training. Raises `DefinitionError`, `HistoryError`, `LookupTableError`,
    `ConfigurationError`, `TrainingError` and OSError.
    """
    console = Console(highlight=False)
    definition = load_usecase(settings)
    span = Span.read(definition, start, end)
    looked_up = read_lookups(definition, lookups)
    written, rejected = build_files(span, data, out, looked_up, console, SLICE_ROWS)
    console.print("\n".join(report(definition, out, written, rejected)), soft_wrap=True)
    return ExitCode.OK


def build_files(
    span: Span,
    data: Sequence[Path],
    out: Path,
    lookups: dict[str, LookupHistory],
    console: Console,
    slice_rows: int,
) -> tuple[SetWriter, int]:
    """Write the training set to `out`; returns what was written, and how many rows were rejected."""
    files = FileBatches(span.definition, data, span.seen, slice_rows)
    with ExitStack() as stack:
        with progress(console, "looking for the order of time", files.rows) as advance:
            files.scan(advance)
        batches: Batches = files
        if waiting_rows(files.extents) > slice_rows:
            folder = stack.enter_context(TemporaryDirectory(prefix=".sorting-", dir=out.absolute().parent))
            with progress(console, "sorting by time on disk", files.rows) as advance:
                cuts = boundaries(files.samples, [extent.rows for extent in files.extents], slice_rows)
                batches = spill(_counted(_all_of(files), advance), cuts, Path(folder))
        slices = Ordered(span.definition, batches, slice_rows, is_ranked=True)
        written = write_set(span, slices, out, lookups, None, console)
    return written, files.rejected


def run_topic(
    settings: Settings,
    start: str,
    end: str,
    out: Path,
    lookups: tuple[str, ...],
    slice_rows: int = SLICE_ROWS,
) -> int:
    """Build from the events topic and the labels topic, as far as they reach back, and say what came of it.

    Raises what `run` raises, and `Fatal`.
    """
    console = Console(highlight=False)
    definition = load_usecase(settings)
    span = Span.read(definition, start, end)
    looked_up = read_lookups(definition, lookups)
    wanted = Wanted(definition, span.seen, settings.future_limit_ms)
    connection, topics = kafka_connection(settings), topics_of(settings, definition.name)
    labels: LabelRecords | None = None
    with TemporaryDirectory(prefix=".sorting-", dir=out.absolute().parent) as folder:
        with closing(TopicRanges(connection, topics.events)) as ranges:
            starts, ends = ranges.since(wanted.oldest_record_ms)
            with progress(console, "reading events", sum(ends.values()) - sum(starts.values())) as advance:
                records = ranges.read(starts, ends)
                batches, rejected = read_events(wanted, records, Path(folder), slice_rows, advance)
        if isinstance(definition.label, RecordLabel):
            with closing(TopicRanges(connection, topics.labels)) as ranges:
                starts, ends = ranges.since(wanted.oldest_record_ms)
                with progress(
                    console, "reading labels", sum(ends.values()) - sum(starts.values())
                ) as advance:
                    labels = read_labels(wanted, ranges.read(starts, ends), advance)
        history = Ordered(definition, batches, slice_rows, is_ranked=False)
        written = write_set(span, history, out, looked_up, labels, console)
    console.print("\n".join(report(definition, out, written, rejected)), soft_wrap=True)
    return ExitCode.OK


@dataclass(frozen=True, slots=True)
class Ordered:
    """Batches in the order of time, with their labels."""

    definition: Definition
    batches: Batches
    slice_rows: int
    is_ranked: bool
    """Whether positions become ranks: a file's rows have none of their own."""

    @property
    def rows(self) -> int:
        return sum(extent.rows for extent in self.batches.extents)

    def slices(self) -> Iterator[Slice]:
        found = in_time_order(self.batches, min(self.slice_rows, self.rows), self.slice_rows)
        return ranked(found) if self.is_ranked else found

    def labelled(self, derived: Floats | None, records: LabelRecords | None) -> Iterator[Slice]:
        """derived: labels in the order of the slices. records: labels by event. Else they bring their own."""
        done = 0
        for part in self.slices():
            labels = part.events.labels
            if derived is not None:
                labels = derived[done : done + len(part)]
            elif records is not None:
                labels = records.latest(hash_ids(Texts(part.events.ids)))
            yield replace(part, events=replace(part.events, labels=labels))
            done += len(part)


def write_set(
    span: Span,
    history: Ordered,
    out: Path,
    lookups: dict[str, LookupHistory],
    labels: LabelRecords | None,
    console: Console,
) -> SetWriter:
    """Build slice by slice into `out`. labels: None where the events bring their own."""
    derived: Floats | None = None
    if isinstance(label := span.definition.label, DerivedLabel):
        with progress(console, "labels from later events", history.rows) as advance:
            derived = derived_in_order(span.definition, label, _counted(history.slices(), advance))
    builder = SetBuilder(span.definition, span.start, span.end, lookups, labels)
    with (
        writing(span.definition, span.start, span.end, out) as writer,
        progress(console, "building features", history.rows) as advance,
    ):
        for part in history.labelled(derived, labels):
            for built in builder.add(part):
                writer.write(built)
            advance(len(part))
    return writer


def report(definition: Definition, out: Path, written: SetWriter, rejected: int) -> list[str]:
    """What came of a build, for people."""
    lines = [
        f"features: {out}",
        f"events:   {written.events:,}, {written.labelled:,} of them labelled",
        f"for:      {definition.name}, features {definition.fingerprints.features[:12]}",
    ]
    if written.trimmed:
        lines.append(f"trimmed:  {written.trimmed:,} events of rows too long to be kept entry by entry")
    if rejected:
        lines.append(f"rejected: {rejected:,} rows that live decoding would reject")
    return lines


def _all_of(batches: FileBatches) -> Iterator[Slice]:
    return (batches.read(number) for number in range(len(batches.extents)))


def _counted(slices: Iterator[Slice], advance: Advance) -> Iterator[Slice]:
    for part in slices:
        yield part
        advance(len(part))
