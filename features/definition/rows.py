"""What the online store keeps so that every window can be evaluated, how exactly, and for how long."""

from collections.abc import Sequence

from features.definition.document import Path
from features.definition.kinds import RowKind, RowSchema, WindowFeature
from features.definition.lengths import MS
from features.definition.model import LABEL_COLUMN, Label, RecordLabel
from features.definition.schema import UseCase
from features.definition.scope import Scope

IDLE_MS = 30 * MS["d"]
TILES = 1_024
"""What a row holds at most of tiles where the file does not say how long they are."""
TILES_MAX = 16 * TILES
"""What a row may be told to hold."""

_NEAT: tuple[int, ...] = (
    *(n * MS["ms"] for n in (1, 2, 5, 10, 20, 50, 100, 200, 500)),
    *(n * MS[unit] for unit in ("s", "m") for n in (1, 2, 5, 10, 15, 30)),
    *(n * MS["h"] for n in (1, 2, 3, 4, 6, 12)),
    *(n * 10**power * MS["d"] for power in (0, 1, 2, 3, 4) for n in (1, 2, 5)),
)
"""Lengths of tiles to choose from, each at most 2.5 times the one before; the last fits any span + delay."""


def read_rows(
    raw: UseCase, scope: Scope, windows: Sequence[WindowFeature], label: Label | None
) -> tuple[RowSchema, ...]:
    """One schema for each entity and kind whose entries a window reads."""
    grouped = {
        (entity, kind): mine
        for entity in scope.entities
        for kind in RowKind
        if (mine := [window for window in windows if (window.entity, window.kind) == (entity, kind)])
    }
    reaches = {row_id: reach_of(mine) for row_id, mine in grouped.items()}
    resolution = _resolution(raw, scope, list(reaches.values()))
    rows: list[RowSchema] = []
    for (entity, kind), mine in grouped.items():
        reach, conditions = reaches[entity, kind], {w.where for w in mine if w.where is not None}
        columns = conditions | {window.column for window in mine if window.column is not None}
        of_labels = kind is RowKind.LABELS
        schema = RowSchema(
            entity=entity,
            kind=kind,
            columns=(LABEL_COLUMN,) if of_labels else tuple(sorted(columns)),
            conditions=tuple(sorted(conditions)),
            exact=scope.exact or 0,
            resolution=(resolution or default_resolution(reach, scope.per is not None)) if reach else 0,
            reach=reach,
            delay=label.delay if of_labels and isinstance(label, RecordLabel) else 0,
        )
        rows.append(schema)
    return tuple(rows)


def reach_of(windows: Sequence[WindowFeature]) -> int:
    """The largest span + delay of windows over time; 0 without any."""
    return max((w.span.length + w.delay for w in windows if w.span.kind == "time"), default=0)


def default_resolution(reach: int, is_sequence: bool) -> int:
    """The shortest neat length (steps of a sequence: power of two) that makes at most `TILES` of `reach`."""
    least = -(-reach // TILES)
    if is_sequence:
        return 1 << (least - 1).bit_length()
    return next(length for length in _NEAT if length >= least)


def read_idle(raw: UseCase, scope: Scope, windows: Sequence[WindowFeature], reach: int) -> int | None:
    """How long a silent row lives, in ms of the clock even where the use case has none.

    Windows over clock time bound it themselves; windows in event counts or in steps do not.
    """
    report, path = scope.report, ("idle",)
    clock_reach = 0 if scope.per is not None else reach
    bounded = scope.per is None and all(window.span.kind == "time" for window in windows)
    if raw.idle is None:
        return None if bounded else max(IDLE_MS, clock_reach)
    if raw.idle.kind != "clock" or raw.idle.n == 0:
        report.add(path, "not a duration of the clock", "write a duration such as 30d")
    elif bounded and not report.doubts("features") and not report.doubts("event", "time"):
        mend = "take it out; windows over time know how long rows are needed"
        report.add(path, "no window needs this", mend, text="idle", at_key=True)
    elif raw.idle.n < clock_reach:
        report.add(
            path,
            "rows would be gone before the longest window and the grace period are over",
            "make it longer",
        )
    return raw.idle.n


def _resolution(raw: UseCase, scope: Scope, reaches: Sequence[int]) -> int:
    """The length of tiles as the file gives it; 0 where it does not."""
    report = scope.report
    sure = not report.doubts("features") and not report.doubtful_features
    if raw.rows is not None and not reaches and sure:
        cause = "there is no window, so no rows are kept"
        report.add(("rows",), cause, "take it out", text="rows", at_key=True)
        return 0
    if raw.rows is None or raw.rows.resolution is None:
        return 0
    path: Path = ("rows", "resolution")
    before = len(report.problems)
    length = scope.length(path, raw.rows.resolution)
    if len(report.problems) > before or not sure or report.doubts("event", "time"):
        return length
    over_time = [reach for reach in reaches if reach]
    if not over_time:
        mend = "take it out; windows in event counts are always exact"
        report.add(path, "no window over time needs this", mend, text="resolution", at_key=True)
    elif length == 0:
        report.add(path, "not a length", "write how far an edge may be off, or take it out")
    elif length > min(over_time):
        report.add(path, "longer than the windows of an entity reach back", "make it shorter, or take it out")
    elif max(over_time) > length * TILES_MAX:
        cause = f"the longest window has more than {TILES_MAX:,} of these"
        report.add(path, cause, "make it longer, or take it out")
    return length
