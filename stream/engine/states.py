"""Several states in one materialize worker: those in use stay live while another is filled from the start.

A new definition with another state fingerprint needs rows of its own, and score workers move to them when
they are whole. Until then, and for as long as anybody may go back, the old rows are kept beside them.
"""

import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from features.definition.model import Definition
from stream.engine.serving import Loaded
from stream.engine.surroundings import Notice
from stream.errors import Fatal

LIVE_TURNS = 4
"""Batches that a live state may take, one after the other, before one is filled by another."""
LINGER_MS = 3_600_000
"""How long a state is kept that nothing deployed needs any more."""
RETRY_MS = 60_000
"""How long a state that cannot be filled is left alone before it is tried again."""


class Rows(Protocol):
    """What materializes everything that the rows of one definition are made of."""

    @property
    def records_waiting(self) -> int | None:
        """Records not yet in the rows, of the partitions in hand; None before any are."""
        ...

    def step(self, events_max: int, wait_ms: int) -> int:
        """Poll each topic once and append what came; how many records. Waits at most once. Raises `Fatal`."""
        ...

    def close(self) -> None: ...


Kept = TypeVar("Kept", bound=Rows)


@dataclass(slots=True)
class _State(Generic[Kept]):
    definition: Definition
    rows: Kept | None = None
    """None while it is left alone."""
    is_live: bool = False
    """Whether it was at the end of what there is, once."""
    unwanted_ms: int | None = None
    """Since when nothing deployed needs it, and all that is needed is live."""
    retry_ms: int = 0


class States(Generic[Kept]):
    """Takes turns; for one thread to use, but for `want`."""

    def __init__(
        self,
        wanted: Sequence[Definition],
        begin: Callable[[Definition, bool], Kept],
        events_max: int,
        wait_ms: int,
        now_ms: Callable[[], int],
        notice: Notice,
    ) -> None:
        """wanted: the definitions of which states are needed, the most important first; at least one.

        begin: called with a definition, and whether its state is the only one: what settings say of the
        rows there are, they say of that; may raise `Fatal`. now_ms: a clock that nobody sets.
        """
        self._begin = begin
        self._events_max = events_max
        self._wait_ms = wait_ms
        self._now_ms = now_ms
        self._notice = notice
        self._states: list[_State[Kept]] = []
        self._wanted: Sequence[Definition] | None = wanted
        self._lock = threading.Lock()
        self._passed = 0

    def want(self, definitions: Sequence[Definition]) -> None:
        """From the next step on; may be called from any thread."""
        with self._lock:
            self._wanted = definitions

    @property
    def kept(self) -> list[Kept]:
        """The rows that are kept now, live ones first."""
        return [state.rows for state in self._states if state.rows is not None]

    def step(self) -> int:
        """Let every state have its turn, live ones more often; returns how many records were passed."""
        self._settle()
        # Nobody waits for records while another state may have some.
        wait_ms = 0 if self._passed else self._wait_ms
        self._passed = 0
        for state in self._states:
            turns = LIVE_TURNS if state.is_live else 1
            while turns and state.rows is not None:
                passed = self._turn(state, wait_ms)
                self._passed += passed
                wait_ms = 0
                turns = turns - 1 if passed >= self._events_max else 0
        return self._passed

    def close(self) -> None:
        """Close everything, whatever closing some of it raises."""
        with ExitStack() as stack:
            for rows in self.kept:
                stack.callback(rows.close)

    # ------------------------------------------------------------------------------------------ internals

    def _turn(self, state: _State[Kept], wait_ms: int) -> int:
        assert state.rows is not None
        try:
            passed = state.rows.step(self._events_max, wait_ms)
        except Fatal as error:
            if (state.is_live and state.unwanted_ms is None) or len(self.kept) == 1:
                raise
            with suppress(Fatal):  # leaving the group may raise it once more
                state.rows.close()
            self._leave_alone(state, error)
            return 0
        waiting = state.rows.records_waiting
        if not state.is_live and waiting is not None and waiting <= self._events_max:
            state.is_live = True
            self._notice("state_is_live", state=_name(state.definition))
        return passed

    def _settle(self) -> None:
        """Begin with what is wanted and not there, end what nobody wanted for a while."""
        now = self._now_ms()
        with self._lock:
            wanted, self._wanted = self._wanted, None
        if wanted is not None:
            self._take(wanted, now)
        self._drop_unwanted(now)
        for state in self._states:
            if state.rows is None and now >= state.retry_ms:
                self._begin_with(state)
        self._states.sort(key=lambda state: not state.is_live)

    def _begin_with(self, state: _State[Kept]) -> None:
        try:
            state.rows = self._begin(state.definition, len(self._states) == 1)
        except Fatal as error:
            if not self.kept:
                raise
            self._leave_alone(state, error)
        else:
            self._notice("state_begun", state=_name(state.definition))

    def _leave_alone(self, state: _State[Kept], error: Fatal) -> None:
        """Whoever fills rows must not take those away that are in use."""
        state.rows, state.retry_ms = None, self._now_ms() + RETRY_MS
        self._notice("state_left_alone", state=_name(state.definition), problem=str(error))

    def _take(self, wanted: Sequence[Definition], now: int) -> None:
        fingerprints = {definition.fingerprints.state for definition in wanted}
        for state in self._states:
            is_wanted = state.definition.fingerprints.state in fingerprints
            if is_wanted:
                state.unwanted_ms = None
            elif state.unwanted_ms is None:
                state.unwanted_ms = now
        there = {state.definition.fingerprints.state for state in self._states}
        for definition in distinct(wanted):
            if definition.fingerprints.state not in there:
                self._states.append(_State(definition))

    def _drop_unwanted(self, now: int) -> None:
        """While what is wanted is filled, score workers may serve from what is not wanted any more."""
        filling = any(not state.is_live for state in self._states if state.unwanted_ms is None)
        for state in [state for state in self._states if state.unwanted_ms is not None]:
            if filling and state.rows is not None:
                state.unwanted_ms = now
            elif state.rows is None or now - (state.unwanted_ms or 0) >= LINGER_MS:
                self._states.remove(state)
                if state.rows is not None:
                    state.rows.close()
                self._notice("state_dropped", state=_name(state.definition))


def needed(loaded: Loaded, so_far: Sequence[Definition], fallback: Definition) -> list[Definition]:
    """The definitions of which states must be materialized, the champion's first.

    so_far: those that were needed before. A champion that is refused leaves score workers with what they
    have, and so those are still needed. fallback: the file's, for when nothing else is.
    """
    champion, previous = loaded.champion, loaded.previous
    chosen = [champion.definition] if champion else list(so_far)
    if previous:
        chosen.append(previous.definition)
    return distinct([one for one in chosen if one.name == fallback.name]) or [fallback]


def distinct(definitions: Sequence[Definition]) -> list[Definition]:
    """The first of each state."""
    first: dict[str, Definition] = {}
    for definition in definitions:
        first.setdefault(definition.fingerprints.state, definition)
    return list(first.values())


def _name(definition: Definition) -> str:
    return definition.fingerprints.state[:12]
