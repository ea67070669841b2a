"""An open loop: events leave when they are due, whatever became of those before."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(slots=True)
class Pace:
    """How many events are due; the clock (seconds) is passed in."""

    speed: float | None
    """Events per second; None: all are always due."""
    clock: Callable[[], float]
    started_s: float
    row: int = 0
    """The event that was due at `started_s`."""

    @classmethod
    def begin(cls, speed: float | None, clock: Callable[[], float]) -> "Pace":
        return cls(speed, clock, clock())

    def due(self, total: int) -> int:
        """Events that should have left by now, of `total`."""
        if self.speed is None:
            return total
        return min(total, self.row + int((self.clock() - self.started_s) * self.speed) + 1)
