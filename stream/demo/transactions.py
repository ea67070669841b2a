"""Real events from a parquet file: the handbook's card transactions, or the use case's own fields."""

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from features.definition.model import Definition, RecordLabel
from stream.demo.options import DemoError

HANDBOOK_COLUMNS = {
    "TRANSACTION_ID": "transaction_id",
    "TX_DATETIME": "event_time",
    "CUSTOMER_ID": "customer_id",
    "TERMINAL_ID": "terminal_id",
    "TX_AMOUNT": "amount",
    "TX_FRAUD": "is_fraud",
}
"""The published data's columns by the fields of `examples/fraud`. TX_FRAUD_SCENARIO is left where it is:
it tells the label."""


def read_transactions(path: Path, definition: Definition) -> pa.Table:
    """The file's events as the definition's fields and label, in the file's order.

    Columns are taken under the definition's names; a file with the handbook's columns is renamed first.
    A clock time without a zone counts as UTC. Raises `DemoError`.
    """
    wanted = wanted_columns(definition)
    try:
        names = pq.read_schema(path).names
    except (OSError, pa.ArrowInvalid) as error:
        raise DemoError(f"--transactions {path}: cannot be read as parquet: {error}") from None
    renamed = HANDBOOK_COLUMNS if set(HANDBOOK_COLUMNS) <= set(names) else {name: name for name in names}
    source = {field: column for column, field in renamed.items()}
    absent = [name for name in wanted if name not in source]
    if absent:
        raise DemoError(
            f"--transactions {path}: no column for {', '.join(absent)} of use case {definition.name}: "
            f"the file has {', '.join(names)}; rename its columns to the fields of the use case"
        )
    table = pq.read_table(path, columns=[source[name] for name in wanted]).rename_columns(list(wanted))
    return pa.table({name: _as_declared(definition, name, table[name]) for name in wanted})


def wanted_columns(definition: Definition) -> tuple[str, ...]:
    """The definition's fields, and the label where it comes by record."""
    fields = tuple(field.name for field in definition.fields)
    label = definition.label
    if isinstance(label, RecordLabel) and label.field not in fields:
        return (*fields, label.field)
    return fields


def _as_declared(definition: Definition, name: str, column: "pa.ChunkedArray[Any]") -> "pa.ChunkedArray[Any]":
    declared = {field.name: field.type for field in definition.fields}.get(name)
    if declared == "string":
        return column.cast(pa.string())
    if declared == "timestamp" and pa.types.is_timestamp(column.type):
        return column.cast(pa.timestamp("ms", tz="UTC"))
    return column
