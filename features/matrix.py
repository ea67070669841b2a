"""The feature matrix: every feature of a definition, in model order, for the events of a batch."""

from collections.abc import Mapping, Sequence

import numpy as np

from features.arrays import Column, Floats, Ints
from features.definition.model import Definition, FieldFeature, RowSchema, SqlFeature, WindowFeature
from features.event import EventBatch
from features.rows import RowId, Rows
from features.window import evaluate

CLOCK_UNITS_PER_SECOND = 1000.0
SEQUENCE_UNITS_PER_SECOND = 1.0


class FeaturePlan:
    """How to compute a definition's features, worked out once."""

    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.names = definition.feature_names
        self._place = {name: at for at, name in enumerate(self.names)}
        self._rate = SEQUENCE_UNITS_PER_SECOND if definition.time.is_sequence else CLOCK_UNITS_PER_SECOND
        schemas = {(schema.entity, schema.kind): schema for schema in definition.rows}
        grouped: dict[RowId, list[WindowFeature]] = {}
        for window in definition.windows:
            grouped.setdefault((window.entity, window.kind), []).append(window)
        self._groups: Sequence[tuple[RowSchema, Sequence[WindowFeature], Ints]] = [
            (schemas[row_id], windows, np.array([self._place[window.name] for window in windows]))
            for row_id, windows in grouped.items()
        ]

    def matrix(self, events: EventBatch, rows: Mapping[RowId, Rows], index: Ints | None = None) -> Floats:
        """Every feature of the events at `index` (all by default): shape (len(index), features).

        NaN is missing; windows over rows that are not in `rows` are missing.
        """
        index = np.arange(len(events)) if index is None else index
        matrix = np.full((len(index), len(self.names)), np.nan)
        for schema, windows, places in self._groups:
            held = rows.get((schema.entity, schema.kind))
            if held is not None:
                matrix[:, places] = evaluate(windows, schema, held, events, index, self._rate)
        columns: dict[str, Column] = {name: column[index] for name, column in events.columns.items()}
        for feature in self.definition.features:
            at = self._place[feature.name]
            if isinstance(feature, FieldFeature):
                matrix[:, at] = columns[feature.name]
            elif isinstance(feature, SqlFeature):
                matrix[:, at] = feature.expression.evaluate(columns, len(index))
            columns[feature.name] = matrix[:, at]
        return matrix

    def columns(self, events: EventBatch, matrix: Floats) -> dict[str, Column]:
        """What rules and decisions may name: fields and features of these events; missing stays missing."""
        columns = dict(events.columns)
        for at, name in enumerate(self.names):
            columns[name] = matrix[:, at]
        return columns
