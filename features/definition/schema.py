"""The grammar of the use case file, before its names are resolved.

Pydantic checks form: keys, kinds of values, spelling. Meaning (does the field exist, does the rule fit
the task) is `features.definition.normalise`'s.
"""

from typing import Annotated, Any, Literal, TypeAlias

from pydantic import Discriminator, Field, JsonValue, Tag

from features.definition.kinds import EXACT, MIN_COUNT
from features.definition.lengths import EVENTS_MAX, ZERO
from features.definition.model import Task
from features.definition.scalars import (
    AggregateText,
    Lapse,
    Name,
    Names,
    Number,
    Scores,
    Served,
    Share,
    Span,
    Sql,
    UseCaseName,
    Word,
)
from features.definition.schema_event import AnyLabel, EventSpec, Part

FILLED: dict[str, JsonValue] = {"minItems": 1}
"""For lists whose emptiness is told with their meaning, so that a wrong item does not hide what else is."""


class FieldsSpec(Part):
    """Fields taken as features as they are."""

    fields: list[Name] = Field(description="Numbers and booleans.", min_length=1)


MinCount: TypeAlias = Annotated[
    int, Field(description="Rarer values count as unknown ones.", ge=1, le=1_000_000)
]


class CategoriesSpec(Part):
    """Texts taken as categories."""

    categories: list[Name] = Field(description="String fields.", min_length=1)
    min_count: MinCount = MIN_COUNT


class SqlSpec(Part):
    """A feature computed from fields and earlier features."""

    name: Name = Field(description="The feature's name.", examples=["amount_over_usual"])
    sql: Sql


class WindowSpec(Part):
    """Aggregates over the entries of an entity in windows that end at the event's own time."""

    entity: Name = Field(description="Whose entries.", examples=["customer"])
    spans: list[Span] = Field(description="How far back.", json_schema_extra=FILLED, examples=["[1d, 7d]"])
    aggregates: list[AggregateText] = Field(
        description="What is computed.", json_schema_extra=FILLED, examples=["[count, mean(amount)]"]
    )
    of: list[Name] | None = Field(
        None, description="Fields for the aggregates that name none.", json_schema_extra=FILLED
    )
    where: Sql | None = Field(None, description="A condition over fields that entries must fulfil.")
    delay: Lapse = Field(ZERO, description="How long before the event the window ends.")
    current: Literal["include", "exclude"] | None = Field(
        None, description="Whether the event itself counts."
    )
    empty: Number | None = Field(None, description="The value of an empty window; missing by default.")
    name: Name | None = Field(
        None, description="Stands for the entity in generated names; needed with `where`."
    )
    std_of_one: Literal[0, "nan"] = Field(0, description="The standard deviation of a single value.")


class WindowItem(Part):
    """Features over a window."""

    window: WindowSpec


def _lookup_form(value: object) -> str:
    return "=types" if isinstance(value, dict) else "=numbers"


LookupFields: TypeAlias = Annotated[
    Annotated[list[Name], Tag("=numbers"), Field(min_length=1)]
    | Annotated[dict[Name, Literal["float64", "string"]], Tag("=types"), Field(min_length=1)],
    Discriminator(_lookup_form),
]


class LookupSpec(Part):
    """Values that others write for each key of an entity."""

    entity: Name = Field(description="Whose values.", examples=["customer"])
    fields: LookupFields = Field(
        description="A list of numbers, or names with their types.", examples=["[credit_limit]"]
    )
    max_age: Lapse | None = Field(None, description="Older values are missing.")
    min_count: MinCount | None = None


class LookupItem(Part):
    """Features that are looked up."""

    lookup: LookupSpec


def _feature_form(value: object) -> str | None:
    forms = {
        "window": "=WindowItem",
        "lookup": "=LookupItem",
        "sql": "=SqlSpec",
        "categories": "=CategoriesSpec",
        "fields": "=FieldsSpec",
    }
    return next((tag for key, tag in forms.items() if isinstance(value, dict) and key in value), None)


AnyFeature: TypeAlias = Annotated[
    Annotated[FieldsSpec, Tag("=FieldsSpec")]
    | Annotated[CategoriesSpec, Tag("=CategoriesSpec")]
    | Annotated[SqlSpec, Tag("=SqlSpec")]
    | Annotated[WindowItem, Tag("=WindowItem")]
    | Annotated[LookupItem, Tag("=LookupItem")],
    Discriminator(
        _feature_form,
        custom_error_type="grammar",
        custom_error_message="no kind of feature",
        custom_error_context={
            "cause": "no kind of feature that is known",
            "mend": "write `fields: […]`, `categories: […]`, `name: …` with `sql: …`, `window: {…}` "
            "or `lookup: {…}`",
        },
    ),
]


class RowsSpec(Part):
    """How exact the rows of busy entities are."""

    exact: int = Field(
        EXACT, description="How many entries before an event are seen one by one.", ge=EXACT, le=EVENTS_MAX
    )
    resolution: Lapse | None = Field(
        None, description="How far the edge of a window may be off beyond those; by default about 1/700."
    )


class RuleSpec(Part):
    """A case of the fallback model."""

    when: Sql = Field(description="A condition over fields and features.", examples=["amount > 220"])
    score: Scores = Field(description="The score; one for each class for multiclass.", examples=["0.9"])
    reason: Word | None = Field(None, description="The reason code.")


class LastRuleSpec(Part):
    """What the fallback model says when no case matches."""

    otherwise: Scores = Field(description="The score when no rule matched.", examples=["0.01"])
    reason: Word | None = Field(None, description="The reason code.")


class DecisionSpec(Part):
    """A case of the decisions."""

    when: Sql = Field(description="A condition over score, fields and features.", examples=["score >= 0.9"])
    decision: Word = Field(description="The decision's name.", examples=["review"])


class LastDecisionSpec(Part):
    """The decision when no case matches."""

    otherwise: Word = Field(description="The decision's name.", examples=["approve"])


def _rule_form(value: object) -> str:
    return "=LastRuleSpec" if isinstance(value, dict) and "otherwise" in value else "=RuleSpec"


def _decision_form(value: object) -> str:
    return "=LastDecisionSpec" if isinstance(value, dict) and "otherwise" in value else "=DecisionSpec"


AnyRule: TypeAlias = Annotated[
    Annotated[RuleSpec, Tag("=RuleSpec")] | Annotated[LastRuleSpec, Tag("=LastRuleSpec")],
    Discriminator(_rule_form),
]
AnyDecision: TypeAlias = Annotated[
    Annotated[DecisionSpec, Tag("=DecisionSpec")] | Annotated[LastDecisionSpec, Tag("=LastDecisionSpec")],
    Discriminator(_decision_form),
]


class OutputSpec(Part):
    """What a prediction carries besides the fixed part of its contract."""

    include: list[Name] = Field([], description="Fields of the event.")
    features: Served = Field(
        1.0, description="Which predictions carry the features as served: all, none, or a share."
    )


class TopKSpec(Part):
    """Precision among the k highest-scored entities of each period."""

    name: Name = Field(description="The metric's name.", examples=["precision_at_100"])
    k: int = Field(description="How many entities a period.", ge=1, le=1_000_000, examples=["100"])
    per: Lapse = Field(description="The period.", examples=["1d"])
    by: Name = Field(description="The entity that is scored.", examples=["customer"])
    drop_caught: bool = Field(
        False, description="Leave out entities found positive in an earlier period's top k."
    )


class ExcludeKnownSpec(Part):
    """Leave out entities that are already known to be positive."""

    entity: Name = Field(description="Which entity.", examples=["customer"])
    after: Lapse = Field(description="How long after the event its label is visible.", examples=["7d"])


class EvaluationSpec(Part):
    """How quality is measured offline."""

    split: Literal["time", "group"] = Field("time", description="What keeps training and test apart.")
    gap: Lapse | None = Field(
        None, description="Time between training and test; the label's delay by default."
    )
    group: Name | None = Field(None, description="Entity whose events stay together; by default the topic's.")
    test_share: Share | None = Field(None, description="Share of the groups held out; 25 % by default.")
    rows: Literal["all", "last_per_entity"] = Field("all", description="Which events count.")
    metrics: list[str] | None = Field(None, description="What is measured.", min_length=1)
    top_k: TopKSpec | None = None
    exclude_known: ExcludeKnownSpec | None = None


class TrainingSpec(Part):
    """LightGBM's parameters."""

    rounds: int = Field(200, description="Number of trees (times classes).", ge=1, le=100_000)
    parameters: dict[str, Any] = Field({}, description="By LightGBM's names.")


class UseCase(Part):
    """The whole file."""

    name: UseCaseName = Field(description="Names topics, metrics and rows.", examples=["fraud"])
    task: Task = Field(description="What is predicted.", examples=["binary"])
    event: EventSpec = Field(description="What arrives.")
    entities: dict[Name, Names] = Field(
        description="What events belong to; the first is the key of the events topic.",
        min_length=1,
        examples=["{customer: customer_id}"],
    )
    label: AnyLabel | None = Field(None, description="What training learns from.")
    grace: Lapse | None = Field(None, description="How late an event may be; 1h by default, 0 in a sequence.")
    history: Literal["none"] | None = Field(
        None, description="none: there never was more than the store has seen."
    )
    idle: Lapse | None = Field(None, description="How long the row of a silent entity is kept.")
    rows: RowsSpec | None = Field(None, description="How exact the rows of busy entities are.")
    features: list[AnyFeature] = Field(description="What the model sees, in its order.", min_length=1)
    rules: list[AnyRule] = Field(description="The fallback model; the first match wins.", min_length=1)
    decisions: list[AnyDecision] = Field(description="What is done; the first match wins.", min_length=1)
    control: Share = Field(0.0, description="Share of events that is let through and marked.")
    output: OutputSpec = OutputSpec()
    evaluation: EvaluationSpec = EvaluationSpec()
    training: TrainingSpec = TrainingSpec()
