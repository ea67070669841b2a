"""The limit on rejected records: garbage stops the worker instead of draining into the dead letters.

A worker that starts knows nothing of what was before. If it waited until it had seen enough to judge a
share by, every start would let that much garbage through, and a supervisor starts it again and again. So
rejected records that are clearly too many stop it within its first batches; since the batch at hand is not
published then, the next start meets the same batch and stops at once.
"""

from collections import deque

JUDGED_FROM = 1_000
"""Fewer records than this are too few to judge by their share alone."""
CLEARLY = 30
"""So many rejected beyond the share are too many, however few the records. At a true share of 8 %, and a
limit of 10 %, chance alone comes so far less than once in a million starts."""


class RejectLimit:
    """Counts the rejected among the last `window` records, in whole batches."""

    def __init__(self, share_max: float, window: int) -> None:
        self._share_max = share_max
        self._window = window
        self._batches: deque[tuple[int, int]] = deque()
        self._unsettled = 0
        """How many of the last batches may be passed again."""
        self._records = 0
        self._rejected = 0

    @property
    def share(self) -> float:
        """The rejected share of the window; 0 before any record."""
        return self._rejected / self._records if self._records else 0.0

    def seen(self, records: int, rejected: int) -> bool:
        """Count a batch; whether the limit is passed."""
        self._batches.append((records, rejected))
        self._unsettled += 1
        self._records += records
        self._rejected += rejected
        while self._records - self._batches[0][0] >= self._window:
            oldest = self._batches.popleft()
            self._records -= oldest[0]
            self._rejected -= oldest[1]
        judged = self._records >= min(self._window, JUDGED_FROM)
        clearly = self._rejected > self._share_max * self._records + CLEARLY
        return clearly or (judged and self.share > self._share_max)

    def settled(self) -> None:
        """Nothing that was counted will be passed again."""
        self._unsettled = 0

    def taken_back(self) -> None:
        """What was counted since `settled` does not stand, and will be counted again."""
        for _ in range(min(self._unsettled, len(self._batches))):
            records, rejected = self._batches.pop()
            self._records -= records
            self._rejected -= rejected
        self._unsettled = 0
