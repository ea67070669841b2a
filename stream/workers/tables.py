"""Parquet files as tables."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from features.past.history import HistoryError


def read_tables(paths: tuple[Path, ...]) -> pa.Table:
    """The files as one table. Raises `HistoryError` for what cannot be read, or has other columns."""
    tables: list[pa.Table] = []
    for path in paths:
        try:
            with path.open("rb") as file:
                tables.append(pq.read_table(file))
        except pa.ArrowInvalid as error:
            raise HistoryError(f"{path} is not a parquet file: {error}") from None
        except OSError as error:
            raise HistoryError(f"{path} cannot be read: {error.strerror}") from None
    try:
        return pa.concat_tables(tables, promote_options="permissive")
    except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
        names = ", ".join(str(path) for path in paths)
        raise HistoryError(f"{names} do not hold the same columns: {error}") from None
