"""The grammar of what comes in: the event, its time, its fields, and the label.

Where a value has several forms, a tag that starts with ``=`` names the model of the form, which is how
`features.definition.mistakes` finds its keys.
"""

from typing import Annotated, Literal, TypeAlias

from pydantic import BaseModel, ConfigDict, Discriminator, Field, Tag

from features.definition.lengths import ZERO
from features.definition.model import FieldType, OutOfRange, TimeUnit
from features.definition.scalars import Absent, Cap, Default, Distance, Lapse, Name, Names, Number, Sql, Word


class Part(BaseModel):
    """A mapping of the file: unknown keys are mistakes, and nothing is converted silently."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)


class ClockTime(Part):
    """The event's time on a clock."""

    field: Name = Field(description="A field of type timestamp.", examples=["event_time"])
    unit: TimeUnit = Field(description="How the time is written.", examples=["iso8601"])


class SequenceTime(Part):
    """Where there is no clock: the number of the event in the sequence of its unit."""

    sequence: Name = Field(description="A field of type int64 that only grows.", examples=["cycle"])
    per: Name = Field(
        description="The field that names the unit whose events are counted.", examples=["unit"]
    )


def _time_form(value: object) -> str:
    keys = value if isinstance(value, dict) else {}
    return "=SequenceTime" if "sequence" in keys or "per" in keys else "=ClockTime"


class DefaultSpec(Part):
    """What stands in for a missing value."""

    default: Default = Field(description="A value of the field's type.", examples=["0"])


def _missing_form(value: object) -> str:
    return "=DefaultSpec" if isinstance(value, dict) else "=missing"


AnyMissing: TypeAlias = Annotated[
    Annotated[Literal["reject", "stamp", "allow"], Tag("=missing")]
    | Annotated[DefaultSpec, Tag("=DefaultSpec")],
    Discriminator(_missing_form),
]


class FieldSpec(Part):
    """A field with more to say than its type."""

    type: FieldType = Field(description="The kind of its values.", examples=["float64"])
    personal: bool = Field(False, description="Masked in logs and viewers.")
    min: Number | None = Field(None, description="The smallest value in range.")
    max: Number | None = Field(None, description="The largest value in range.")
    missing: AnyMissing | None = Field(None, description="What becomes of an event that lacks it.")
    out_of_range: OutOfRange | None = Field(None, description="What becomes of a value out of range.")


def _field_form(value: object) -> str:
    return "=FieldSpec" if isinstance(value, dict) else "=type"


AnyField: TypeAlias = Annotated[
    Annotated[FieldType, Tag("=type")] | Annotated[FieldSpec, Tag("=FieldSpec")], Discriminator(_field_form)
]
AnyTime: TypeAlias = Annotated[
    Annotated[ClockTime, Tag("=ClockTime")] | Annotated[SequenceTime, Tag("=SequenceTime")],
    Discriminator(_time_form),
]


class EventSpec(Part):
    """What arrives."""

    id: Names = Field(description="The field or fields that tell events apart.", examples=["transaction_id"])
    time: AnyTime = Field(description="The event's time.", examples=["{field: event_time, unit: iso8601}"])
    timezone: str = Field("UTC", description="Local time for EXTRACT; a time without a zone is in it.")
    score_when: Sql | None = Field(None, description="Which events are scored; the others only feed state.")
    fields: dict[Name, AnyField] = Field(
        description="The fields of the event by name.", examples=["{amount: float64}"]
    )


class RecordLabelSpec(Part):
    """A label that comes as a record of its own."""

    field: Name = Field(description="The label's name; not a field of the event.", examples=["is_fraud"])
    delay: Lapse = Field(ZERO, description="How long after the event the label is known.")
    absent: Absent | None = Field(
        None, description="What no label by then means; by default, left out of training."
    )
    classes: list[Word] = Field(
        [], description="The classes of a multiclass task, in the order of probabilities."
    )


class DerivedLabelSpec(Part):
    """A label made of later events of the topic's entity."""

    time_to: Sql = Field(
        description="`end_of_entity`, or the condition that ends the count.", examples=["failed"]
    )
    unit: Literal["events", "time"] | None = Field(None, description="What is counted; events by default.")
    within: Distance | None = Field(
        None, description="Binary: positive when the end is at most this far away."
    )
    cap: Cap | None = Field(None, description="Regression: larger distances are cut to this.")


def _label_form(value: object) -> str:
    derived = isinstance(value, dict) and bool(value.keys() & {"time_to", "within", "cap", "unit"})
    return "=DerivedLabelSpec" if derived else "=RecordLabelSpec"


AnyLabel: TypeAlias = Annotated[
    Annotated[RecordLabelSpec, Tag("=RecordLabelSpec")]
    | Annotated[DerivedLabelSpec, Tag("=DerivedLabelSpec")],
    Discriminator(_label_form),
]
