"""Parquet files as batches: row group by row group, the large ones in parts."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.arrays import Ints
from features.definition.model import Definition, RecordLabel
from features.past.build import fields_read
from features.past.columns import OBSERVED_AT, read_columns
from features.past.history import HistoryError, check_columns, history_positions
from features.past.order import NEVER, Extent, Slice
from features.past.table import ColumnError, TableReader
from stream.workers.building.spill import sample
from stream.workers.progress import Advance


@dataclass(frozen=True, slots=True)
class _Part:
    """Some rows of a row group."""

    path: Path
    group: int
    start: int
    """Its first row within the group."""
    rows: int
    is_whole: bool
    """Whether it is all of the group."""
    before: int
    """How many rows of all files come before it."""
    before_in_file: int


class FileBatches:
    """Labelled history as `Batches`; equal times keep the order of the files' rows.

    Rows that live decoding would reject are left out.
    """

    def __init__(
        self, definition: Definition, paths: Sequence[Path], between: tuple[int, int], rows_max: int
    ) -> None:
        """between: from when to before when events matter. rows_max: of a batch.

        Raises `HistoryError` for files that cannot be read, or lack columns.
        """
        self._definition = definition
        self._between = between
        self._wanted = fields_read(definition)
        self._rows_max = rows_max
        self._parts = list(_parts(definition, paths, rows_max))
        self._rejected: dict[int, int] = {}
        self._stream: tuple[tuple[Path, int, tuple[str, ...]], int, Iterator[pa.RecordBatch]] | None = None
        self.extents: Sequence[Extent] = []
        """Known after `scan`."""
        self.samples: Sequence[Ints] = []
        """Of each batch, some of its event times (`stream.workers.building.spill.sample`)."""

    @property
    def rows(self) -> int:
        """Of all batches, or after `scan` of those that matter."""
        return sum(part.rows for part in self._parts)

    @property
    def rejected(self) -> int:
        """How many rows were left out of the batches read."""
        return sum(self._rejected.values())

    def scan(self, advance: Advance) -> None:
        """Read the time of every event, and from then on pass over the batches that do not matter."""
        if len(self._parts) == 1:  # there is nothing to put in order
            self.extents = [Extent(self._parts[0].rows, 0, 0)]
            return
        kept: list[tuple[_Part, Extent, Ints]] = []
        for part in self._parts:
            times = self._times(part)
            advance(part.rows)
            first, last = int(times.min(initial=NEVER)), int(times.max(initial=-NEVER))
            if first < self._between[1] and last >= self._between[0]:
                kept.append((part, Extent(part.rows, first, last), sample(times)))
        self._parts = [part for part, _, _ in kept]
        self.extents = [extent for _, extent, _ in kept]
        self.samples = [times for _, _, times in kept]

    def read(self, number: int) -> Slice:
        """See `Batches.read`."""
        part = self._parts[number]
        with _saying_where(part.path):
            names = _columns(self._definition, pq.read_schema(part.path).names)
            reader = TableReader(self._definition, self._table(part, names), part.before_in_file)
            events, places = read_columns(self._definition, reader, self._wanted)
        self._rejected[number] = part.rows - len(events)
        return Slice(events, history_positions(part.before, part.rows)[places])

    def _times(self, part: _Part) -> Ints:
        name = self._definition.time.field
        with _saying_where(part.path):
            reader = TableReader(self._definition, self._table(part, [name]), part.before_in_file)
            times = reader.times(name)
        return times.values[~(times.missing | times.beyond)]

    def _table(self, part: _Part, names: list[str]) -> pa.Table:
        if part.is_whole:
            with pq.ParquetFile(part.path) as file:
                return file.read_row_group(part.group, columns=names, use_threads=False)
        wanted = (part.path, part.group, tuple(names))
        if self._stream is None or self._stream[0] != wanted or self._stream[1] > part.start:
            batches = pq.ParquetFile(part.path).iter_batches(
                self._rows_max, row_groups=[part.group], columns=names, use_threads=False
            )
            self._stream = (wanted, 0, batches)
        _, at, batches = self._stream
        for batch in batches:
            here, at = at, at + batch.num_rows
            if here == part.start:
                self._stream = (wanted, at, batches)
                return pa.Table.from_batches([batch])
        raise AssertionError("a row group does not shrink")


def _parts(definition: Definition, paths: Sequence[Path], rows_max: int) -> Iterator[_Part]:
    before = 0
    for path in paths:
        with _saying_where(path):
            metadata = pq.read_metadata(path)
            check_columns(definition, pq.read_schema(path).names)
        in_file = 0
        for group in range(metadata.num_row_groups):
            rows = metadata.row_group(group).num_rows
            for start in range(0, rows, rows_max):
                some = min(rows_max, rows - start)
                yield _Part(path, group, start, some, some == rows, before, in_file)
                before += some
                in_file += some


def _columns(definition: Definition, there: Sequence[str]) -> list[str]:
    wanted = [field.name for field in definition.fields]
    if isinstance(definition.label, RecordLabel):
        wanted += [definition.label.field, OBSERVED_AT]
    return [name for name in dict.fromkeys(wanted) if name in there]


@contextmanager
def _saying_where(path: Path) -> Iterator[None]:
    """Raise what is wrong with a file as `HistoryError`, with its name."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise HistoryError(f"{path} is not a parquet file: {error}") from None
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror or error}") from None
    except (ColumnError, HistoryError) as error:
        raise HistoryError(f"{path}: {error}") from None
