"""What a batch of records gives: predictions and dead letters, each within what its topic takes."""

import numpy as np

from features.arrays import Bools, Ints
from stream.engine.fit import fit, too_large
from stream.engine.ownership import Ownership
from stream.engine.publisher import Outputs, Publisher
from stream.engine.rejects import RejectLimit
from stream.engine.scoring import BatchScorer, Partitions
from stream.engine.serving import Serving
from stream.errors import Fatal
from stream.metrics import ScoreMetrics
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

    def to(self, serving: Serving, records: RecordBatch, partitions: Partitions) -> Outputs:
        """Raises `Fatal` when too many records are rejected."""
        with self._metrics.stage("decode"):
            decoded = serving.decoder.decode(records)
        fresh = self._ownership.to_score(records)
        rejected = [one for one in decoded.rejected if fresh[one.index]]
        self._judge(records, rejected, int(fresh.sum()))
        decoded = self._remember_old(decoded, fresh)
        self._metrics.consumed(len(decoded.events))
        scored = np.flatnonzero(decoded.scored)
        if not len(scored):
            self._scorer.remember(decoded.events)
            return Outputs([], [], [], np.empty(0, np.int64), self._letters(serving, records, rejected))
        predictions = self._scorer.score(serving, decoded, scored, records.topic, partitions)
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
        keys = [records.keys[i] for i in at]
        headers = [prediction_headers(records.headers(i)) for i in at]
        timestamps = records.timestamps[place]
        unfit = fit(keys, values, headers, self._publisher.predictions_bytes_max())
        if unfit:
            rejected = [*rejected, *(too_large(at[i]) for i in unfit)]
            for of_each in (keys, values, headers):
                for i in reversed(unfit):
                    del of_each[i]
            timestamps = np.delete(timestamps, unfit)
        return Outputs(keys, values, headers, timestamps, self._letters(serving, records, rejected))

    def _remember_old(self, decoded: Decoded, fresh: Bools) -> Decoded:
        """Events that are only read again go into the overlay; returns the others."""
        answered = fresh[decoded.index]
        if answered.all():
            return decoded
        self._scorer.remember(decoded.events.take(np.flatnonzero(~answered)))
        new = np.flatnonzero(answered)
        return Decoded(
            decoded.events.take(new),
            decoded.index[new],
            decoded.causes[new],
            decoded.scored[new],
            decoded.rejected,
        )

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
