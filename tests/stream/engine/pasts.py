"""A history of visits, and what loads it into a bench's store."""

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from features.definition.model import RowKind
from features.event import HISTORY_PARTITION, hash_ids
from features.past.history import History, history_positions
from stream.engine.history_loader import HistoryLoader, Loading, Piece
from stream.engine.lease import Lease
from stream.engine.stored import StoredState
from stream.workers.backfill import pieces
from tests.stream.engine.bench import REWIND_MS, VISITS, Bench
from tests.stream.engine.contents import Rows, entries_by_row
from tests.stream.engine.stores import Connection, StoreServer
from tests.stream.engine.workers import START_MS
from tests.stream.visits import Visit, batch

PAST: list[Visit] = [
    (HISTORY_PARTITION, n, START_MS - 500 + 10 * n, f"p0-{n % 3}", "front", 2.0) for n in range(40)
]
FIRST, LAST = PAST[0][2], PAST[-1][2]
PART = 7


def past_id(number: int) -> str:
    return f"past-{number}"


def history(first: int, count: int) -> History:
    """Part of the past."""
    visits = PAST[first : first + count]
    ids = [past_id(visit[1]) for visit in visits]
    events = batch([(0, *visit[1:]) for visit in visits])
    positions = history_positions(first, len(visits))
    events = replace(events, ids=ids, hashes=hash_ids(ids), positions=positions)
    return History(events, np.full(len(visits), np.nan), events.times)


def in_pieces() -> Iterator[Piece]:
    for start in range(0, len(PAST), PART):
        part = history(start, PART)
        yield from pieces(VISITS, part, start + len(part))


def loader(made: Bench, holder: str = "a") -> tuple[HistoryLoader, Connection]:
    """What loads it, and its connection."""
    store = made.store.connect()
    state = StoredState(made.namespace, store, made.clock, lambda: f"by-{holder}", None)
    lease = Lease(store, made.namespace.loading(), holder, 60_000, made.clock)
    return HistoryLoader(state, store, lease, in_pieces, None, REWIND_MS, made.clock), store


def through(made: Bench, loading: HistoryLoader) -> None:
    """Step until it is done."""
    for _ in range(100):
        match loading.step():
            case Loading.DONE:
                return
            case Loading.SETTLING:
                made.clock.ms += 1_000
    raise AssertionError("it does not end")


def past_rows(made: Bench) -> Rows:
    """What rows hold of the past once it is loaded."""
    server = StoreServer(made.clock)
    for piece in in_pieces():
        server.connect().append(piece.chunks, None)
    return entries_by_row(VISITS, made.namespace, server, RowKind.EVENTS)
