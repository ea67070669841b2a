"""What becomes of the predictions and dead letters that are read: books, board, and what was served."""

from collections.abc import Mapping, Sequence

import msgspec

from features.definition.model import Definition
from stream.demo.board import Alert, Board
from stream.demo.credit import Credit
from stream.demo.ledger import DeadLetter, Ledger
from stream.demo.served import Prediction, Served, decode_prediction, shown_fields


class Ear:
    """Takes every message once, in the order of reading. Knows no client library."""

    def __init__(
        self,
        definition: Definition,
        rows: Mapping[str, int],
        sent_ms: Sequence[int],
        ledger: Ledger,
        board: Board,
        credit: Credit,
    ) -> None:
        """rows: the row of each event id. sent_ms: the timestamp of each row's record."""
        self.served = Served()
        self.latencies_ms: list[float] = []
        self.last_s = 0.0
        """When the last first answer came, by the clock of `now_s`."""
        self.unreadable = 0
        """Messages that are no prediction."""
        self._definition = definition
        self._rows, self._sent_ms = rows, sent_ms
        self._ledger, self._board, self._credit = ledger, board, credit
        # The last decision is the quiet one: it is what happens when no case asks for more.
        self._quiet = definition.decisions[-1].decision if definition.decisions else None

    def prediction(self, message: bytes, *, now_s: float, now_ms: float) -> None:
        """now_s: a clock that never goes back; now_ms: since the epoch."""
        try:
            prediction = decode_prediction(message)
        except msgspec.DecodeError:
            self.unreadable += 1
            return
        position = (prediction.origin.partition, prediction.origin.offset)
        first = self._ledger.predicted(position, prediction.event_id)
        row = self._rows.get(prediction.event_id)
        if row is None:
            return
        latency = now_ms - self._sent_ms[row]
        if first:
            self.served.by_row.setdefault(row, prediction)
            self.latencies_ms.append(latency)
            self.last_s = now_s
            self._credit.answered(position[0], len(message))
        self._board.predicted(
            first=first,
            now_s=now_s,
            latency_ms=latency,
            decision=prediction.decision,
            source=prediction.source,
            causes=prediction.degradations,
        )
        if first and prediction.decision is not None and prediction.decision != self._quiet:
            self._board.alert(self._alert(prediction))

    def dead_letter(self, letter: DeadLetter) -> None:
        if self._ledger.dead_letter(letter):
            self._credit.answered(letter.position[0], len(letter.value or b""))
        self._board.dead_letter()

    def _alert(self, prediction: Prediction) -> Alert:
        answer = prediction.answer
        return Alert(
            event_id=prediction.event_id,
            included=shown_fields(self._definition, prediction),
            decision=prediction.decision or "",
            score="" if answer is None else f"{answer:.3f}" if abs(answer) < 10 else f"{answer:.1f}",
            source=prediction.source,
            reasons=tuple(reason.code for reason in prediction.reasons),
        )
