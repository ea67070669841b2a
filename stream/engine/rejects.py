"""The limit on rejected records: garbage stops the worker instead of draining into the dead letters."""

from collections import deque

JUDGED_FROM = 1_000
"""Fewer records than this are too few to judge by."""


class RejectLimit:
    """Counts the rejected among the last `window` records, in whole batches."""

    def __init__(self, share_max: float, window: int) -> None:
        self._share_max = share_max
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._records = 0
        self._rejected = 0

    @property
    def share(self) -> float:
        """The rejected share of the window; 0 before any record."""
        return self._rejected / self._records if self._records else 0.0

    def seen(self, records: int, rejected: int) -> bool:
        """Count a batch; whether the limit is passed."""
        self._batches.append((records, rejected))
        self._records += records
        self._rejected += rejected
        while self._records - self._batches[0][0] >= self._window:
            oldest = self._batches.popleft()
            self._records -= oldest[0]
            self._rejected -= oldest[1]
        judged = self._records >= min(self._window, JUDGED_FROM)
        return judged and self.share > self._share_max
