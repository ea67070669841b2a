"""The middle of the demo: events go out, predictions come back, something breaks, and somebody watches."""

import time
from dataclasses import dataclass

from stream.demo.board import Board, Snapshot
from stream.demo.ear import Ear
from stream.demo.faults import Play
from stream.demo.feed import Feed
from stream.demo.ledger import Ledger
from stream.demo.options import DemoError
from stream.demo.reader import Reader
from stream.demo.view import View
from stream.demo.workers import Crew

STALLED_AFTER_S = 60.0
_LOOK_EVERY_S = 0.1


@dataclass(frozen=True, slots=True)
class Scoring:
    """Everything that is under way while events are scored."""

    feed: Feed
    reader: Reader
    ear: Ear
    ledger: Ledger
    board: Board
    crew: Crew
    play: Play | None

    def watch(self, view: View) -> None:
        """Show how it goes until every record is answered and nothing is broken any more.

        Returns early when a worker has died or nothing has moved for `STALLED_AFTER_S`: the books then
        say what is missing. Raises `DemoError` when the demo's own clients fail.
        """
        moved_s, last = time.monotonic(), -1
        while True:
            now_s = time.monotonic()
            snapshot = self.board.snapshot(now_s)
            self._go_on(view, now_s, snapshot)
            view.show(snapshot)
            for client in (self.feed, self.reader):
                if client.error is not None:
                    raise DemoError(f"the demo's {client.name} failed: {client.error}")
            if self.crew.dead() or self._is_done():
                return
            answers = snapshot.answered + snapshot.dead_letters
            if answers != last or self.ledger.waiting <= 0:
                moved_s, last = now_s, answers
            elif now_s - moved_s > STALLED_AFTER_S:
                view.say(f"nothing has moved for {STALLED_AFTER_S:g} s")
                return
            time.sleep(_LOOK_EVERY_S)

    def _go_on(self, view: View, now_s: float, snapshot: Snapshot) -> None:
        if self.play is None:
            return
        said = self.play.step(now_s, snapshot)
        if said is not None:
            view.say(said)
        if self.play.is_over:
            self.feed.release()

    def _is_done(self) -> bool:
        is_mended = self.play is None or self.play.is_over
        return is_mended and not self.feed.is_alive() and self.ledger.waiting <= 0
