"""What a batch of records gives: predictions and dead letters, each within what its topic takes."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Ints
from features.event import EventBatch
from stream.engine.fit import fit, too_large
from stream.engine.ownership import Ownership
from stream.engine.publisher import Outputs, Publisher
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import Asked, BatchScorer, Partitions
from stream.engine.serving import Serving
from stream.errors import Fatal
from stream.metrics import ScoreMetrics
from stream.pipeline.causes import Cause
from stream.pipeline.decode import Decoded
from stream.pipeline.encode import PredictionBatch, prediction_headers
from stream.pipeline.rejected import Rejected
from stream.records import RecordBatch
from stream.transport.deadletter import DeadLetter, dead_letter


class Answers:
    """Decodes, scores and encodes; what is only read again it remembers, and does not answer."""

    def __init__(
        self,
        publisher: Publisher,
        scorer: BatchScorer,
        ownership: Ownership,
        rejects: RejectLimit,
        metrics: ScoreMetrics,
    ) -> None:
        """publisher: says how large outputs may be."""
        self._publisher = publisher
        self._scorer = scorer
        self._ownership = ownership
        self._rejects = rejects
        self._metrics = metrics

    def to(
        self, serving: Serving, batches: Sequence[tuple[RecordBatch, Partitions]]
    ) -> Iterator[tuple[RecordBatch, Outputs]]:
        """Of each batch of a poll, in order. Raises `Fatal` when too many records are rejected.

        The store is asked for a batch before the one ahead of it is scored, so that it answers meanwhile; but
        all that a batch leaves behind for others it leaves in its turn. Where the store fails it is not asked
        for the rest: of a poll no more than one read is waited for in vain.
        """
        lost: Cause | None = None
        ahead = self._begin(serving, *batches[0], lost)
        for at, (_, partitions) in enumerate(batches):
            begun = ahead
            if at + 1 < len(batches):
                ahead = self._begin(serving, *batches[at + 1], lost)
            yield begun.records, self._finish(serving, begun, partitions, lost)
            if len(begun.scored):
                lost = lost or self._scorer.unread

    def _begin(
        self, serving: Serving, records: RecordBatch, partitions: Partitions, lost: Cause | None
    ) -> "_Begun":
        with self._metrics.stage("decode"):
            decoded = serving.decoder.decode(records)
        fresh = self._ownership.to_score(records)
        answered = fresh[decoded.index]
        old = None
        if not answered.all():
            old, decoded = decoded.events.take(np.flatnonzero(~answered)), _only(decoded, answered)
        scored = np.flatnonzero(decoded.scored)
        asked = None
        if len(scored) and lost is None:
            with self._metrics.stage("ask"):
                asked = self._scorer.ask(serving, decoded.events, records.topic, partitions)
        return _Begun(records, decoded, old, fresh, scored, asked)

    def _finish(
        self, serving: Serving, begun: "_Begun", partitions: Partitions, lost: Cause | None
    ) -> Outputs:
        records, decoded, scored = begun.records, begun.decoded, begun.scored
        rejected = [one for one in decoded.rejected if begun.fresh[one.index]]
        self._judge(records, rejected, int(begun.fresh.sum()))
        if begun.old is not None:
            self._scorer.remember(begun.old)
        self._metrics.consumed(len(decoded.events))
        if not len(scored):
            self._scorer.remember(decoded.events)
            return Outputs([], [], [], np.empty(0, np.int64), self._letters(serving, records, rejected))
        asked = begun.asked if lost is None else lost
        predictions = self._scorer.score(serving, decoded, scored, records.topic, partitions, asked)
        self._count(serving, predictions)
        with self._metrics.stage("encode"):
            return self._outputs(serving, records, predictions, decoded.index[scored], rejected)

    def _outputs(
        self,
        serving: Serving,
        records: RecordBatch,
        predictions: PredictionBatch,
        place: Ints,
        rejected: list[Rejected],
    ) -> Outputs:
        """Everything of a batch, within what the topics take. place: of each prediction, in the records."""
        values = serving.encoder.encode(predictions)
        at = place.tolist()
        keys = list(map(records.keys.__getitem__, at))
        headers = list(map(prediction_headers, map(records.headers, at)))
        timestamps = records.timestamps[place]
        unfit = fit(keys, values, headers, self._publisher.predictions_bytes_max())
        if unfit:
            rejected = [*rejected, *(too_large(at[i]) for i in unfit)]
            for of_each in (keys, values, headers):
                for i in reversed(unfit):
                    del of_each[i]
            timestamps = np.delete(timestamps, unfit)
        return Outputs(keys, values, headers, timestamps, self._letters(serving, records, rejected))

    def _judge(self, records: RecordBatch, rejected: list[Rejected], seen: int) -> None:
        """Raises `Fatal` when too many records are rejected."""
        too_many = self._rejects.seen(seen, len(rejected))
        self._metrics.rejects(self._rejects.share)
        if too_many and rejected:
            latest = rejected[-1]
            raise Fatal(
                f"{self._rejects.share:.0%} of the last records of {records.topic} were rejected, the latest "
                f"at partition {records.partitions[latest.index]} offset {records.offsets[latest.index]}: "
                f"{latest.reason.value}, {latest.detail}: the topic does not hold what the use case says; "
                "mend its producer or the definition, or raise rejects.share_max"
            )

    def _letters(self, serving: Serving, records: RecordBatch, rejected: list[Rejected]) -> list[DeadLetter]:
        for one in rejected:
            self._metrics.dead_letter(one.reason.value)
        size = self._publisher.letters_bytes_max()
        return [dead_letter(records, one, serving.definition.name, size) for one in rejected]

    def _count(self, serving: Serving, predictions: PredictionBatch) -> None:
        if self._scorer.errors:
            self._metrics.model_raised(len(self._scorer.errors))
        self._metrics.scored(
            [stamp.version for stamp in predictions.models],
            [*(case.decision for case in serving.definition.decisions), "none"],
            predictions.sources,
            predictions.decisions.index,
            predictions.causes,
        )
        unit = 1.0 if serving.definition.time.is_sequence else 1000.0
        self._metrics.freshness.observe(predictions.freshness / unit)


@dataclass(frozen=True, slots=True)
class _Begun:
    """A batch that is decoded, and the store asked for it."""

    records: RecordBatch
    decoded: Decoded
    """What is answered; and all that was rejected."""
    old: EventBatch | None
    """What is only read again, and goes into the overlay."""
    fresh: Bools
    """Per record, whether it is answered."""
    scored: Ints
    """Places in `decoded`."""
    asked: Asked | None


def _only(decoded: Decoded, answered: Bools) -> Decoded:
    """These events, with all that was rejected."""
    new = np.flatnonzero(answered)
    return Decoded(
        decoded.events.take(new),
        decoded.index[new],
        decoded.causes[new],
        decoded.scored[new],
        decoded.rejected,
    )
