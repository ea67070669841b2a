"""An upstream service that never pauses: it keeps producing while workers come, go and die."""

import threading
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Self

from tests.integration.processes import SOON_S, await_that
from tests.integration.records import Position
from tests.integration.usecase import Visit

_AT_ONCE = 10
_PAUSE_S = 0.01


class Flow(threading.Thread):
    """Sends visits in their order until the `with` block ends, or there are no more."""

    def __init__(self, send: Callable[[Sequence[Visit]], list[Position]], visits: Sequence[Visit]) -> None:
        super().__init__(name="flow", daemon=True)
        self.visits: list[Visit] = []
        """Those that were sent."""
        self.positions: list[Position] = []
        self._all = visits
        self._send = send
        self._ended = threading.Event()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._ended.set()
        self.join(SOON_S)
        assert not self.is_alive()

    def run(self) -> None:
        for at in range(0, len(self._all), _AT_ONCE):
            if self._ended.wait(_PAUSE_S):
                return
            some = self._all[at : at + _AT_ONCE]
            self.positions += self._send(some)
            self.visits += some

    def await_more(self, count: int) -> list[Position]:
        """The next positions, once `count` more events were sent."""
        start = len(self.positions)
        await_that(lambda: len(self.visits) >= start + count, "the flow stands still")
        return self.positions[start : start + count]
