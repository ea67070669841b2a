"""Parquet files with history, read a part at a time: what they hold need not fit into memory.

Arrow is imported where it is needed: a materialize worker without history files does without it.
"""

# ruff: noqa: PLC0415  that is what the imports inside the functions are for

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from features.definition.model import Definition, RecordLabel
from features.past.columns import OBSERVED_AT
from features.past.history import History, HistoryError, check_columns, history_from_table

if TYPE_CHECKING:
    import pyarrow.parquet as pq


@dataclass(frozen=True, slots=True)
class HistoryFiles:
    """Of one definition, one file after the other. `open` them."""

    definition: Definition
    paths: Sequence[Path]
    rows: int
    """Of all files together."""

    @classmethod
    def open(cls, definition: Definition, paths: Sequence[Path]) -> "HistoryFiles":
        """Raises `HistoryError` with everything that is wrong with the files at once."""
        rows, problems = 0, []
        for path in paths:
            try:
                with _parquet(path) as file:
                    check_columns(definition, file.schema_arrow.names)
                    rows += file.metadata.num_rows
            except HistoryError as error:
                problems.append(str(error) if str(path) in str(error) else f"{path}: {error}")
        if problems:
            raise HistoryError("\n".join(problems))
        return cls(definition, tuple(paths), rows)

    def parts(self, rows_max: int) -> Iterator[tuple[History, int]]:
        """History of at most so many rows, and how many rows are read with it.

        Positions are numbers of rows, so that events at the same time keep the order of the files. Raises
        `HistoryError` for the first value that means nothing.
        """
        import pyarrow as pa

        done = 0
        for path in self.paths:
            with _parquet(path) as file:
                first = done
                columns = [name for name in file.schema_arrow.names if name in self._wanted]
                for batch in file.iter_batches(batch_size=rows_max, columns=columns):
                    table = pa.Table.from_batches([batch])
                    try:
                        history = history_from_table(self.definition, table, done)
                    except HistoryError as error:
                        raise HistoryError(f"{path} (rows count from {first}): {error}") from None
                    done += batch.num_rows
                    yield history, done

    def extent(self) -> tuple[int, int] | None:
        """The first and the last event time, where the files' statistics tell; reads no rows."""
        moments: list[datetime] = []
        for path in self.paths:
            with _parquet(path) as file:
                for group in range(file.metadata.num_row_groups):
                    columns = file.metadata.row_group(group)
                    for place in range(columns.num_columns):
                        column = columns.column(place)
                        if column.path_in_schema == self.definition.time.field:
                            found = column.statistics
                            ends = (found.min, found.max) if found is not None else ()
                            moments += [end for end in ends if isinstance(end, datetime)]
                            if not moments:
                                return None
        return (_ms(min(moments)), _ms(max(moments))) if moments else None

    @property
    def _wanted(self) -> set[str]:
        label = self.definition.label
        of_label = {label.field} if isinstance(label, RecordLabel) else set()
        return {field.name for field in self.definition.fields} | of_label | {OBSERVED_AT}


def _ms(moment: datetime) -> int:
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1_000)


@contextmanager
def _parquet(path: Path) -> "Iterator[pq.ParquetFile]":
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        with path.open("rb") as source, pq.ParquetFile(source) as file:
            yield file
    except pa.ArrowInvalid as error:
        raise HistoryError(f"{path} is not a parquet file: {error}") from None
    except OSError as error:
        raise HistoryError(f"{path} cannot be read: {error.strerror or error}") from None
