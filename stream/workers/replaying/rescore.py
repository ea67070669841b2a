"""Events scored once more, by any bundle, from what their features were made of. Pure."""

from dataclasses import dataclass

import numpy as np

from features.arrays import Bools, Floats, Ints
from features.event import EventBatch
from models.bundle import Bundle
from models.rules import RuleModel
from stream.pipeline.causes import FALLBACK_CAUSES, Cause
from stream.pipeline.decide import decide
from stream.pipeline.encode import ModelStamp, PredictionBatch, Reason
from stream.pipeline.score import Answerers, score
from stream.workers.replaying.state import State

VARIANT = "replay"
STORE_CAUSES = Cause.STORE_TIMEOUT | Cause.STORE_DOWN | Cause.REBUILDING
"""With these no model was asked, whichever was there."""
_ANEW = FALLBACK_CAUSES | Cause.FIELD_MISSING | Cause.OUT_OF_RANGE | Cause.TRIMMED
"""What is found out once more, and so not taken over."""


@dataclass(frozen=True, slots=True)
class Circumstances:
    """How n events were served, as far as it is no matter of the model."""

    state: State
    causes: Ints
    """`Cause` masks, shape (n,); 0 where an event was not served."""
    freshness: Floats
    """As `PredictionBatch.freshness`."""

    @property
    def usable(self) -> Bools:
        """Where a model was asked at all; elsewhere the rules answer again."""
        usable: Bools = (self.causes & int(STORE_CAUSES)) == 0
        return usable


class Rescorer:
    """A bundle alone: what it cannot answer its rules do."""

    def __init__(self, bundle: Bundle) -> None:
        self._definition = bundle.definition
        self._answerers = Answerers(
            bundle.definition, bundle.plan, bundle, None, RuleModel(bundle.definition)
        )
        name = bundle.definition.name
        model = ModelStamp(name=bundle.name, version=bundle.version, digest=bundle.digest, variant=VARIANT)
        rules = ModelStamp(name=name, version="rules", digest=None, variant=VARIANT)
        self._stamps = (model, model, rules)

    def score(
        self, topic: str, events: EventBatch, causes: Ints, around: Circumstances, scored_at: int
    ) -> PredictionBatch:
        """causes: what decoding says of the events. Reasons are those of the rules: why a model says what
        it says costs a hundred times the answer.
        """
        definition, plan = self._definition, self._answerers.plan
        state, usable = around.state, around.usable
        answers = score(
            self._answerers,
            events,
            state.windows(definition),
            np.arange(len(events)),
            usable,
            state.lookups(definition),
        )
        columns = plan.columns(events, answers.matrix)
        kept = around.causes & ~int(_ANEW)
        kept |= np.where(usable, 0, around.causes & int(STORE_CAUSES))
        return PredictionBatch(
            topic=topic,
            events=events,
            scores=answers.scores,
            sources=answers.sources,
            models=self._stamps,
            decisions=decide(definition, columns, answers.scores, events.hashes),
            causes=kept | causes | answers.causes,
            freshness=around.freshness,
            reasons={at: (Reason(why),) for at, why in answers.rule_reasons.items()},
            matrix=answers.matrix,
            columns=columns,
            scored_at=scored_at,
        )
