"""The feature matrix: every feature of a definition, in model order, for the events of a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from features.arrays import Bools, Column, Floats, Ints
from features.categories import NO_CATEGORIES, Categories, coders
from features.definition.model import (
    CategoryFeature,
    Definition,
    FieldFeature,
    LookupFeature,
    RowSchema,
    SqlFeature,
    WindowFeature,
)
from features.event import EventBatch
from features.rows import RowId, Rows
from features.window import Evaluated, evaluate

CLOCK_UNITS_PER_SECOND = 1000.0
SEQUENCE_UNITS_PER_SECOND = 1.0
LARGE = 1 << 16
"""A matrix of more events than this is laid out feature by feature, as it is filled in."""

NO_LOOKUPS: Mapping[str, Floats] = {}


@dataclass(frozen=True, slots=True)
class FeatureMatrix:
    """The features of n events."""

    values: Floats
    """Shape (n, features), in model order; NaN is missing."""
    trimmed: Bools
    """Shape (n,): whether a window's edge was displaced (`features.window.Evaluated`)."""


def units_per_second(definition: Definition) -> float:
    """Of the time unit; a step of a sequence counts as a second."""
    return SEQUENCE_UNITS_PER_SECOND if definition.time.is_sequence else CLOCK_UNITS_PER_SECOND


class FeaturePlan:
    """How to compute a definition's features, worked out once."""

    def __init__(self, definition: Definition, categories: Categories = NO_CATEGORIES) -> None:
        """A categorical feature without categories is missing, as nothing says what its codes would be."""
        self.definition = definition
        self._coders = coders(definition, categories)
        self.names = definition.feature_names
        self._place = {name: at for at, name in enumerate(self.names)}
        self._rate = units_per_second(definition)
        schemas = {(schema.entity, schema.kind): schema for schema in definition.rows}
        grouped: dict[RowId, list[WindowFeature]] = {}
        for window in definition.windows:
            grouped.setdefault((window.entity, window.kind), []).append(window)
        self._groups: Sequence[tuple[RowSchema, Sequence[WindowFeature], Ints]] = [
            (schemas[row_id], windows, np.array([self._place[window.name] for window in windows]))
            for row_id, windows in grouped.items()
        ]

    def matrix(
        self,
        events: EventBatch,
        rows: Mapping[RowId, Rows | Evaluated],
        index: Ints | None = None,
        lookups: Mapping[str, Floats] = NO_LOOKUPS,
    ) -> Floats:
        """The values of `evaluate`."""
        return self.evaluate(events, rows, index, lookups).values

    def evaluate(
        self,
        events: EventBatch,
        rows: Mapping[RowId, Rows | Evaluated],
        index: Ints | None = None,
        lookups: Mapping[str, Floats] = NO_LOOKUPS,
    ) -> FeatureMatrix:
        """Every feature of the events at `index` (all by default).

        rows: where their windows have been evaluated for these events already, what was found.
        lookups: shape (len(events),) by the name of a lookup feature; texts are 52-bit hashes, NaN is
        missing. Windows over rows that are not in `rows`, and lookups that are not in `lookups`, are missing.
        """
        index = np.arange(len(events)) if index is None else index
        order: Literal["C", "F"] = "F" if len(index) > LARGE else "C"
        matrix = np.full((len(index), len(self.names)), np.nan, order=order)
        trimmed = np.zeros(len(index), np.bool_)
        for schema, windows, places in self._groups:
            held = rows.get((schema.entity, schema.kind))
            if held is not None:
                if isinstance(held, Evaluated):
                    found = held
                else:
                    found = evaluate(windows, schema, held, events, index, self._rate)
                matrix[:, places] = found.values
                trimmed |= found.trimmed
        columns: dict[str, Column] = {name: column[index] for name, column in events.columns.items()}
        for feature in self.definition.features:
            name, at = feature.name, self._place[feature.name]
            match feature:
                case FieldFeature():
                    matrix[:, at] = columns[name]
                case SqlFeature():
                    matrix[:, at] = feature.expression.evaluate(columns, len(index))
                case LookupFeature(is_category=False) if name in lookups:
                    matrix[:, at] = lookups[name][index]
                case LookupFeature(is_category=True) if name in lookups and name in self._coders:
                    matrix[:, at] = self._coders[name](lookups[name][index])
                case CategoryFeature() if name in self._coders:
                    matrix[:, at] = self._coders[name](columns[name])
            if not isinstance(feature, CategoryFeature):
                columns[name] = matrix[:, at]
        return FeatureMatrix(matrix, trimmed)

    def columns(self, events: EventBatch, matrix: Floats) -> dict[str, Column]:
        """What rules and decisions may name: fields and features of these events; missing stays missing.

        A field that is a category stays the text that it is.
        """
        columns = dict(events.columns)
        for at, feature in enumerate(self.definition.features):
            if not isinstance(feature, CategoryFeature):
                columns[feature.name] = matrix[:, at]
        return columns
