"""Loads a history into the rows, piece by piece, while live events are appended beside it.

Rows are sets, so overlapping live costs nothing and a repeated load changes nothing. When all is in, and
so long that no restart of the store loses any of it, a claim in the store says what the rows hold now;
materializers read it with their heartbeats.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum

from features.progress import HistoryClaim
from features.store import OnlineStore
from stream.engine.lease import Lease
from stream.engine.stored import Stored, StoredState
from stream.errors import Fatal


@dataclass(frozen=True, slots=True)
class Piece:
    """Part of a history, ready to append."""

    chunks: Sequence[tuple[bytes, bytes]]
    """(row key, entries)."""
    entries: int
    since: int
    """The first and, in `until`, the last event time of the part it is taken from."""
    until: int
    done: int
    """Rows of the files that are read once this is appended."""


class Loading(Enum):
    """How it goes."""

    ELSEWHERE = "somebody else is at it"
    GOING_ON = "more is to come"
    SETTLING = "all is in, and a store that restarts now might lose some"
    DONE = "the claim stands"


@dataclass(slots=True)
class _Under:
    """A load that is under way."""

    began: Stored
    pieces: Iterator[Piece]
    waiting: Piece | None = None
    """It could not be appended yet."""
    since: int | None = None
    until: int | None = None
    ended_ms: int | None = None
    """When the last piece was in."""


class HistoryLoader:
    """One load into one namespace; call `step` until it is done."""

    def __init__(
        self,
        state: StoredState,
        store: OnlineStore,
        lease: Lease,
        pieces: Callable[[], Iterator[Piece]],
        ttl_ms: int | None,
        rewind_ms: int,
        now_ms: Callable[[], int],
    ) -> None:
        """pieces: the history from its beginning, at every call. rewind_ms: what a store that is started
        anew may lose of its last writes.
        """
        self._state = state
        self._store = store
        self._lease = lease
        self._pieces = pieces
        self._ttl_ms = ttl_ms
        self._rewind_ms = rewind_ms
        self._now_ms = now_ms
        self._under: _Under | None = None
        self.done = 0
        """Rows of the files that were read."""
        self.entries = 0
        """Entries appended, those included that were appended again."""
        self.claim: HistoryClaim | None = None

    def step(self) -> Loading:
        """Append the next piece; raises what the store raises, and the next call tries it again.

        Raises `Fatal` for files without an event, and what reading them raises.
        """
        if not self._lease.hold():
            self._under = None
            return Loading.ELSEWHERE
        if self._under is None:
            self._under = _Under(self._state.read("", ()), self._pieces())
        under = self._under
        if under.waiting is None:
            under.waiting = next(under.pieces, None)
        if under.waiting is None:
            return self._finish(under)
        self._append(under, under.waiting)
        return Loading.GOING_ON

    def _append(self, under: _Under, piece: Piece) -> None:
        self._store.append(piece.chunks, self._ttl_ms)
        under.waiting = None
        under.since = piece.since if under.since is None else min(under.since, piece.since)
        under.until = piece.until if under.until is None else max(under.until, piece.until)
        self.done = piece.done
        self.entries += piece.entries

    def _finish(self, under: _Under) -> Loading:
        if under.since is None or under.until is None:
            raise Fatal("the history files hold no event that live decoding would take; check their times")
        stored = self._state.read("", ())
        if (stored.epoch, stored.life) != (under.began.epoch, under.began.life):
            self._under = None  # what was appended may be lost
            return Loading.GOING_ON
        now = self._now_ms()
        under.ended_ms = now if under.ended_ms is None else under.ended_ms
        if now - under.ended_ms < self._rewind_ms:
            return Loading.SETTLING
        claim = HistoryClaim(epoch=stored.epoch, since=under.since, until=under.until)
        self._state.claim(claim)
        self._lease.release()
        self._under, self.claim = None, claim
        return Loading.DONE
