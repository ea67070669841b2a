"""One batch through the pipeline: read, enrich, score, decide. Everything but the read is pure."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

import numpy as np

from features.arrays import Ints
from features.event import EventBatch
from features.keys import Namespace
from features.progress import Progress, decode_progress
from features.rows import request_rows
from models.explain import contributions
from stream.engine.overlay import Overlay
from stream.engine.reads import GuardedReads
from stream.engine.serving import Serving
from stream.pipeline.causes import Cause, Source
from stream.pipeline.decide import Decisions, decide
from stream.pipeline.decode import Decoded
from stream.pipeline.encode import PredictionBatch, Reason
from stream.pipeline.enrich import Coverage, Enriched, FreshnessPolicy, enrich, without_store
from stream.pipeline.score import Scored, score


@dataclass(frozen=True, slots=True)
class ScoringPolicy:
    """How batches are scored, apart from the use case itself."""

    freshness: FreshnessPolicy
    reasons_top: int
    """Reason codes per alert; 0 for none."""


@dataclass(frozen=True, slots=True)
class Partitions:
    """The partitions of the events topic, and of the labels topic, as this worker knows them."""

    count: int
    owned: frozenset[int]
    labels_topic: str | None
    """None where no window reads labels."""
    labels: int


class BatchScorer:
    """Scores batches of events in source order; it remembers them in the overlay for those that follow."""

    def __init__(
        self,
        reads: GuardedReads,
        overlay: Overlay,
        policy: ScoringPolicy,
        now_ms: Callable[[], int],
        stage: Callable[[str], AbstractContextManager[object]],
    ) -> None:
        """stage: times one stage of a batch, by its name."""
        self._reads = reads
        self._overlay = overlay
        self._policy = policy
        self._now_ms = now_ms
        self._stage = stage
        self.errors: tuple[str, ...] = ()
        """What models raised in the last batch."""

    def score(
        self, serving: Serving, decoded: Decoded, scored: Ints, topic: str, partitions: Partitions
    ) -> PredictionBatch:
        """Predictions for the events at `scored`; the others only feed the state."""
        events = decoded.events
        enriched = self._enrich(serving, events, topic, partitions)
        with self._stage("score"):
            answers = score(serving.answerers, events, enriched.rows, scored, enriched.usable[scored])
        self.errors = answers.errors
        chosen = events if len(scored) == len(events) else events.take(scored)
        columns = serving.answerers.plan.columns(chosen, answers.matrix)
        with self._stage("decide"):
            decisions = decide(serving.definition, columns, answers.scores, chosen.hashes)
            reasons = self._reasons(serving, answers, decisions)
        return PredictionBatch(
            topic=topic,
            events=chosen,
            scores=answers.scores,
            sources=answers.sources,
            models=serving.stamps,
            decisions=decisions,
            causes=decoded.causes[scored] | enriched.causes[scored] | answers.causes,
            freshness=enriched.freshness[scored],
            reasons=reasons,
            matrix=answers.matrix,
            columns=columns,
            scored_at=self._now_ms(),
        )

    def remember(self, events: EventBatch) -> None:
        """Hold events whose entries may not be in the store yet, so that later ones see them."""
        self._overlay.add(events)

    def _enrich(self, serving: Serving, events: EventBatch, topic: str, partitions: Partitions) -> Enriched:
        definition, namespace = serving.definition, serving.namespace
        if not definition.rows:
            n = len(events)
            return Enriched({}, np.zeros(n, np.int64), np.ones(n, np.bool_), np.zeros(n))
        request = request_rows(definition, events)
        with self._stage("read"):
            heads = progress_keys(namespace, topic, partitions.count)
            if partitions.labels_topic is not None:
                heads += progress_keys(namespace, partitions.labels_topic, partitions.labels)[1:]
            answer = self._reads.read([*heads, *request.store_keys])
        with self._stage("enrich"):
            if isinstance(answer, Cause):
                enriched = without_store(events, answer)
            else:
                known_progress = decode_all(answer[: len(heads)])
                progress, labels = known_progress[: partitions.count], known_progress[partitions.count :]
                reached = {at: known.offset for at, known in enumerate(progress) if known is not None}
                self._overlay.trim({p: offset for p, offset in reached.items() if p in partitions.owned})
                truncated = frozenset(self._overlay.truncated(reached))
                coverage = Coverage(progress, labels, partitions.owned, truncated, self._now_ms())
                enriched = enrich(
                    definition,
                    events,
                    request,
                    answer[len(heads) :],
                    self._overlay.entries(request),
                    coverage,
                    self._policy.freshness,
                )
            self._overlay.add(events)
        return enriched

    def _reasons(
        self, serving: Serving, answers: Scored, decisions: Decisions
    ) -> dict[int, Sequence[Reason]]:
        """Why, for alerts: what the rule says, or the features that moved the model's score most."""
        reasons: dict[int, Sequence[Reason]] = {
            at: (Reason(why),) for at, why in answers.rule_reasons.items()
        }
        champion = serving.answerers.champion
        explained = np.flatnonzero(decisions.alerts & (answers.sources == Source.MODEL))
        if champion is not None and self._policy.reasons_top and len(explained):
            try:
                codes = contributions(champion, answers.matrix[explained], self._policy.reasons_top)
            except Exception as error:  # noqa: BLE001  a model that cannot explain itself may still answer
                self.errors += (f"reasons {champion.version}: {type(error).__name__}: {error}",)
                return reasons
            for at, found in zip(explained.tolist(), codes, strict=True):
                reasons[at] = [Reason(code.feature, code.contribution) for code in found]
        return reasons


def progress_keys(namespace: Namespace, topic: str, partitions: int) -> list[bytes]:
    """What says how complete rows are: the epoch, then the progress of each partition."""
    return [namespace.epoch(), *(namespace.progress(topic, partition) for partition in range(partitions))]


def decode_all(answer: Sequence[bytes | None]) -> list[Progress | None]:
    """The progress of each partition, from the values of `progress_keys`."""
    epoch, *values = answer
    if epoch is None:
        return [None] * len(values)
    return [decode_progress(value, epoch.decode()) for value in values]
