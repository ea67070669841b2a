"""History files into the rows: `riverrun materialize --backfill`, and a worker whose store came up empty."""

import secrets
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import structlog
from rich.console import Console

from features.definition.model import Definition
from features.keys import Namespace
from features.progress import HistoryClaim
from features.store import OnlineStore, StoreUnavailable
from features.stores.redis import RedisStore
from stream.clock import monotonic_ms, now_ms
from stream.config import Settings, redis_for_writes
from stream.engine.history_loader import HistoryLoader, Loading, Piece
from stream.engine.lease import Lease
from stream.engine.stored import StoredState
from stream.errors import ExitCode
from stream.metrics import MaterializeMetrics
from stream.workers.backfill import pieces, row_lifetime_ms
from stream.workers.history_files import HistoryFiles
from stream.workers.progress import progress

log = structlog.get_logger()

COMMAND_ROWS = 100_000
"""Rows of a file that are read at once; more of them together make fewer and longer appends."""
BESIDE_ROWS = 5_000
"""While live events are waiting."""
LEASE_MS = 60_000
PATIENCE_MS = 60_000
RETRY_S = 0.2
WAIT_S = 0.5
WAITS = {
    Loading.ELSEWHERE: "somebody else is loading some; waiting for that to end",
    Loading.SETTLING: "all is in Redis; waiting for as long as a restart could still lose some of it",
}
REST_MS = 2_000
SAY_EVERY_MS = 5_000


def history_loader(
    settings: Settings, definition: Definition, store: OnlineStore, files: HistoryFiles, rows_max: int
) -> HistoryLoader:
    """store: a connection of the loader's own."""

    def read() -> Iterator[Piece]:
        for history, done in files.parts(rows_max):
            yield from pieces(definition, history, done)

    namespace, ttl_ms = Namespace.of(definition), row_lifetime_ms(definition, settings.allowed_lag_ms)
    state = StoredState(namespace, store, now_ms, lambda: secrets.token_hex(8), ttl_ms)
    lease = Lease(store, namespace.loading(), secrets.token_hex(8), LEASE_MS, now_ms)
    return HistoryLoader(state, store, lease, read, ttl_ms, 1_000 * settings.materialize.rewind_s, now_ms)


def run(settings: Settings, definitions: Sequence[Definition], paths: Sequence[Path]) -> int:
    """Load files into the rows of each definition, with a bar where there is a terminal and lines elsewhere.

    Raises `HistoryError`, `StoreUnavailable`, `StoreRejected` and `Fatal`.
    """
    console = Console(highlight=False)

    def say(text: str) -> None:
        console.print(text, soft_wrap=True)

    for definition, files in [(one, HistoryFiles.open(one, paths)) for one in definitions]:
        of = f" of state {definition.fingerprints.state[:12]}" if len(definitions) > 1 else ""
        with closing(RedisStore(redis_for_writes(settings))) as store:
            loader = history_loader(settings, definition, store, files, COMMAND_ROWS)
            with progress(console, f"history{of}: rows", files.rows) as advance:
                load(loader, advance, say, time.sleep, monotonic_ms)
        assert loader.claim is not None, "it is done"
        said = f"{loader.entries:,} entries of {files.rows:,} rows, {spoken(definition, loader.claim)}"
        say(f"history{of}: {said}")
    return ExitCode.OK


def load(
    loader: HistoryLoader,
    advance: Callable[[int], None],
    say: Callable[[str], None],
    sleep_s: Callable[[float], None],
    clock_ms: Callable[[], int],
) -> None:
    """Step until it is done; a store that fails is tried again for a minute.

    advance: told how many more rows of the files are in. Raises what the loader raises.
    """
    reached_ms, told = clock_ms(), 0
    waits: Loading | None = None
    while True:
        try:
            how = loader.step()
        except StoreUnavailable:
            if clock_ms() - reached_ms > PATIENCE_MS:
                raise
            sleep_s(RETRY_S)
            continue
        reached_ms = clock_ms()
        if loader.done > told:
            advance(loader.done - told)
            told = loader.done
        if how is Loading.DONE:
            return
        if how in WAITS:
            if how is not waits:
                say(f"history: {WAITS[how]}")
            waits = how
            sleep_s(WAIT_S)


def spoken(definition: Definition, claim: HistoryClaim) -> str:
    """What a claim covers, for people."""
    if definition.time.is_sequence:
        return f"complete from {claim.since} to {claim.until}"
    moments = [datetime.fromtimestamp(ms / 1000, UTC) for ms in (claim.since, claim.until)]
    first, last = (moment.isoformat(" ", "milliseconds") for moment in moments)
    return f"complete from {first} to {last}"


class BesideLive:
    """Fills a store that came up empty, a piece between two steps of what is live."""

    def __init__(
        self,
        loader: HistoryLoader,
        store: OnlineStore,
        rows: int,
        metrics: MaterializeMetrics,
        clock_ms: Callable[[], int],
    ) -> None:
        """store: the loader's. rows: of the files together."""
        self._loader = loader
        self._store = store
        self._rows = rows
        self._metrics = metrics
        self._clock_ms = clock_ms
        self._rests_until_ms = 0
        self._said_ms: int | None = None

    def close(self) -> None:
        self._store.close()

    def step(self) -> bool:
        """Append the next piece; returns whether there was anything to do. Raises what the loader raises.

        While the store fails, and while another worker is at it, it rests; when it is done too, until the
        materializers have heard of it.
        """
        now = self._clock_ms()
        if now < self._rests_until_ms:
            return False
        try:
            how = self._loader.step()
        except StoreUnavailable:
            self._metrics.store_failed()
            self._rests_until_ms = now + REST_MS
            return False
        if how is Loading.DONE:
            self._metrics.history_loaded()
            log.info("history_loaded", entries=self._loader.entries, claim=self._loader.claim)
        if how is not Loading.GOING_ON:
            self._rests_until_ms = now + REST_MS
        elif self._said_ms is None or now - self._said_ms >= SAY_EVERY_MS:
            self._said_ms = now
            log.info("history_loading", done=self._loader.done, rows=self._rows)
        return True
