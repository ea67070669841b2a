"""Lookups from a file into the online store. The newest value of a key wins, whoever writes when."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console

from features.definition.model import Definition
from features.lookup.codec import decode_lookups, encode_lookups, lookup_prefix
from features.lookup.history import LookupTable
from features.lookup.table import LookupTableError, lookup_columns, read_lookup_table
from features.store import OnlineStore, StoreUnavailable
from features.stores.redis import RedisStore
from stream.clock import now_ms as clock_ms
from stream.config import Settings, load_usecase, redis_for_writes
from stream.errors import ExitCode
from stream.workers.progress import progress

BATCH_ROWS = 5_000
AHEAD_MS = 3_600_000
"""How far a `written_at` may lie ahead of our clock: one dated 2100 would keep every later value out."""
TRIES_MAX = 20
"""How often a value may change while we compare ours with it."""


@dataclass(frozen=True, slots=True)
class Loaded:
    """What became of the rows of a file."""

    written: int
    older: int
    """Rows of keys for which a newer value was there already, in the store or in the file."""


def run(settings: Settings, entity: str, file: Path, ttl_ms: int | None) -> int:
    """Load a file, and say what became of it.

    Raises `DefinitionError`, `LookupTableError`, `StoreUnavailable` and `StoreRejected`.
    """
    definition = load_usecase(settings)
    console = Console(highlight=False)
    with closing(RedisStore(redis_for_writes(settings))) as store:
        watch = partial(progress, console, "rows")
        loaded = load_file(store, definition, entity, file, ttl_ms, clock_ms(), watch)
    older = f"; {loaded.older:,} left out, because newer ones are there" if loaded.older else ""
    console.print(f"{entity}: {loaded.written:,} values written{older}")
    return ExitCode.OK


def load_file(
    store: OnlineStore,
    definition: Definition,
    entity: str,
    file: Path,
    ttl_ms: int | None,
    now_ms: int,
    watch: Callable[[int], AbstractContextManager[Callable[[int], None]]],
) -> Loaded:
    """Write every row of a parquet file.

    Rows that do not say when they were written were written at `now_ms`. watch: given the number of rows,
    yields what is told how many more of them are done. Safe to repeat. What is wrong in the file is noticed
    when it is reached, and what was written before stays. Raises `LookupTableError`, and what the store does.
    """
    prefix = lookup_prefix(definition.name, entity)
    done = written = 0
    with _naming(file), file.open("rb") as source, pq.ParquetFile(source) as parquet:
        columns = lookup_columns(definition, entity, parquet.schema_arrow.names)
        with watch(parquet.metadata.num_rows) as advance:
            for batch in parquet.iter_batches(BATCH_ROWS, columns=columns.names):
                table = read_lookup_table(definition, columns, pa.Table.from_batches([batch]), done)
                _refuse_ahead(table, columns.time, done, now_ms)
                written += write_newest(store, prefix, table, ttl_ms, now_ms)
                done += len(table)
                advance(len(table))
    return Loaded(written, done - written)


def write_newest(
    store: OnlineStore, prefix: bytes, table: LookupTable, ttl_ms: int | None, now_ms: int
) -> int:
    """Write the rows that are not older than what their key holds; of equal age the later row wins.

    Replaced are also values that cannot be read, and those dated further ahead than `AHEAD_MS`. Returns how
    many rows were written. Safe while others write the same keys.
    """
    written_at = np.full(len(table), now_ms) if table.written_at is None else table.written_at
    packed = encode_lookups(table.fields, written_at, table.values)
    rows = np.argsort(written_at, kind="stable").tolist()
    pending = {prefix + table.keys[row].encode(): row for row in rows}
    written = 0
    for _ in range(TRIES_MAX):
        held = store.read(list(pending))
        times = decode_lookups(table.fields, held).written_at.tolist()
        changes = [
            (key, there or b"", packed[row])
            for (key, row), there, time in zip(pending.items(), held, times, strict=True)
            if not written_at[row] < time <= now_ms + AHEAD_MS
        ]
        replaced = store.replace_all(changes, ttl_ms)
        written += sum(replaced)
        changed = zip(changes, replaced, strict=True)
        pending = {key: pending[key] for (key, _, _), done in changed if not done}
        if not pending:
            return written
    raise StoreUnavailable(f"others keep writing {len(pending)} of the keys; try again when they are done")


@contextmanager
def _naming(file: Path) -> Iterator[None]:
    """Turn what is wrong with the file into `LookupTableError` that names it."""
    try:
        yield
    except pa.ArrowInvalid as error:
        raise LookupTableError(f"{file} is not a parquet file: {error}") from None
    except OSError as error:
        raise LookupTableError(f"{file} cannot be read: {error.strerror}") from None
    except LookupTableError as error:
        raise LookupTableError(f"{file}: {error}") from None


def _refuse_ahead(table: LookupTable, column: str | None, first: int, now_ms: int) -> None:
    if table.written_at is None:
        return
    ahead = np.flatnonzero(table.written_at > now_ms + AHEAD_MS)
    if len(ahead):
        row = int(ahead[0])
        place = f"column {column}: row {first + row} ({int(table.written_at[row])} ms)"
        raise LookupTableError(
            f"{place} lies more than an hour ahead of this machine's clock, and would keep later values out: "
            "mend the time, or the clock"
        )
