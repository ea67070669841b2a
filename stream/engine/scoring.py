"""One batch through the pipeline: read, enrich, score, decide. Everything but the read is pure."""

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace

import numpy as np

from features.arrays import Ints
from features.event import EventBatch
from features.keys import Namespace
from features.lookup.request import LookupRequest, request_lookups
from features.rows import RowRequest, request_rows
from features.stores.deadline import Pending
from models.explain import contributions
from stream.engine.heads import Heads, HeadsRequest, request_heads
from stream.engine.overlay import Overlay
from stream.engine.reads import GuardedReads
from stream.engine.serving import Serving
from stream.pipeline.causes import Cause, Source
from stream.pipeline.decide import Decisions, decide
from stream.pipeline.decode import Decoded
from stream.pipeline.encode import PredictionBatch, Reason
from stream.pipeline.enrich import Coverage, Enriched, FreshnessPolicy, enrich, look_up, without_store
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
    covered: Mapping[int, int]
    """Those of the owned ones of which the overlay holds everything that was read and that the store may
    lack; and for what moment, ms since the epoch, nothing that stood there by then is unread."""
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
        self.raised: tuple[str, ...] = ()
        """What they raised when they last did."""
        self.reached: Mapping[int, int] | None = None
        """By partition, up to where the store held the events of the last batch; None if it did not say."""
        self.unread: Cause | None = None
        """Why the last batch had no answer of the store, where it needed one."""
        self._asked = self._newest = 0
        """How often the store was asked, and which of its answers was the last that was taken in."""
        self._namespace: Namespace | None = None
        self._previous: Namespace | None = None
        """Where rows of the previous layout are, unless the store said that nothing is there."""

    def ask(self, serving: Serving, events: EventBatch, topic: str, partitions: Partitions) -> "Asked | None":
        """Begin to read what these events need, which come after those that are scored next; None where the
        store is to be asked when it is their turn.
        """
        if not self._needs_store(serving):
            return None
        asked = self._asked_for(serving, events, topic, partitions)
        pending = self._reads.begin(asked.keys)
        return None if pending is None else replace(asked, pending=pending)

    def score(
        self,
        serving: Serving,
        decoded: Decoded,
        scored: Ints,
        topic: str,
        partitions: Partitions,
        asked: "Asked | Cause | None" = None,
    ) -> PredictionBatch:
        """Predictions for the events at `scored`; the others only feed the state.

        asked: what `ask` said to the events, or why the store is not asked for them.
        """
        events = decoded.events
        enriched = self._enrich(serving, events, topic, partitions, asked)
        with self._stage("score"):
            usable = enriched.usable[scored]
            answers = score(serving.answerers, events, enriched.rows, scored, usable, enriched.lookups)
        self.errors = answers.errors
        chosen = events if len(scored) == len(events) else events.take(scored)
        columns = serving.answerers.plan.columns(chosen, answers.matrix)
        with self._stage("decide"):
            decisions = decide(serving.definition, columns, answers.scores, chosen.hashes)
            reasons = self._reasons(serving, answers, decisions)
        self.raised = self.errors or self.raised
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

    @staticmethod
    def _needs_store(serving: Serving) -> bool:
        return bool(serving.definition.rows or serving.definition.lookups)

    def _enrich(
        self,
        serving: Serving,
        events: EventBatch,
        topic: str,
        partitions: Partitions,
        asked: "Asked | Cause | None",
    ) -> Enriched:
        definition = serving.definition
        self.reached, self.unread = None, None
        if not self._needs_store(serving):
            n = len(events)
            return Enriched({}, np.zeros(n, np.int64), np.ones(n, np.bool_), np.zeros(n))
        with self._stage("read"):
            answer = self._read(serving, events, topic, partitions, asked)
        with self._stage("enrich"):
            if isinstance(answer, Cause):
                self.unread = answer
                enriched = without_store(events, answer)
            else:
                progress, labels = answer.heads.progress
                reached = {at: known.offset for at, known in enumerate(progress) if known is not None}
                self.reached = reached
                self._overlay.trim({p: offset for p, offset in reached.items() if p in partitions.owned})
                truncated = frozenset(self._overlay.truncated(reached))
                coverage = Coverage(progress, labels, partitions.covered, truncated, self._now_ms())
                enriched = enrich(
                    definition,
                    events,
                    answer.request,
                    answer.rows,
                    self._overlay.entries(answer.request),
                    coverage,
                    self._policy.freshness,
                )
                lookups = answer.lookup_request
                enriched = look_up(enriched, definition, events, lookups, answer.lookups, coverage.now_ms)
            self._overlay.add(events)
        return enriched

    def _read(
        self,
        serving: Serving,
        events: EventBatch,
        topic: str,
        partitions: Partitions,
        asked: "Asked | Cause | None",
    ) -> "_Answer | Cause":
        """Everything a batch needs, in one round trip; in two where it turns out that rows of the previous
        layout are needed as well.
        """
        while not isinstance(asked, Cause):
            # The overlay lacks what a later answer held already: with an earlier one nothing would have it.
            if asked is None or asked.number < self._newest:
                asked = self._asked_for(serving, events, topic, partitions)
            pending = asked.pending
            answer = self._reads.read(asked.keys) if pending is None else self._reads.end(pending)
            if isinstance(answer, Cause):
                return answer
            self._newest = asked.number
            known = asked.heads.decode(answer[: len(asked.heads.keys)])
            if known.has_predecessor and not asked.rows.with_previous:
                self._previous = serving.namespace.previous()
                asked = None
                continue
            if not known.has_predecessor:
                self._previous = None
            begin, end = len(asked.heads.keys), len(asked.heads.keys) + len(asked.rows.store_keys)
            return _Answer(known, asked.rows, answer[begin:end], asked.lookups, answer[end:])
        return asked

    def _asked_for(self, serving: Serving, events: EventBatch, topic: str, partitions: Partitions) -> "Asked":
        definition, namespace = serving.definition, serving.namespace
        if self._namespace != namespace:
            self._namespace, self._previous = namespace, namespace.previous()
        topics = [(topic, partitions.count if definition.rows else 0)]
        topics.append((partitions.labels_topic or "", partitions.labels if partitions.labels_topic else 0))
        rows = request_rows(definition, events, self._previous)
        lookups = request_lookups(definition, events, rows.indexes)
        self._asked += 1
        return Asked(self._asked, request_heads(namespace, topics, self._previous), rows, lookups)

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


@dataclass(frozen=True, slots=True)
class Asked:
    """What the store is asked for a batch."""

    number: int
    """Counted up from one to the next."""
    heads: HeadsRequest
    rows: RowRequest
    lookups: LookupRequest
    pending: Pending | None = None
    """The read, where it was begun."""

    @property
    def keys(self) -> list[bytes]:
        return [*self.heads.keys, *self.rows.store_keys, *self.lookups.store_keys]


@dataclass(frozen=True, slots=True)
class _Answer:
    """What the store said to a batch."""

    heads: Heads
    request: RowRequest
    rows: Sequence[bytes | None]
    lookup_request: LookupRequest
    lookups: Sequence[bytes | None]
