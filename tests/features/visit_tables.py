"""A use case of visits, and files of them that are as awkward as files get."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa
from hypothesis import strategies as st

from features.definition import parse_definition
from features.definition.model import Definition

TIME = """
  - window: {entity: who, spans: [2s, 5s], aggregates: [count, sum(amount), std(amount), last(amount)]}
  - window: {entity: place, spans: [3s], delay: 2s, aggregates: [count, distinct_count(who)]}
  - window: {entity: place, spans: [4s], delay: 4s, aggregates: [count(label), mean(label)], empty: 0}
"""
COUNTS = """
  - window: {entity: who, spans: [2 events, 3 events], aggregates: [mean(amount), min(amount)]}
  - window:
      {name: large, entity: place, spans: [2 events], where: "amount > 1", aggregates: [max(amount)]}
  - window: {entity: place, spans: [2 events], delay: 3s, aggregates: [sum(amount)]}
  - window: {entity: who, spans: [3 events], delay: 4s, aggregates: [mean(label)]}
"""
PLAIN = """
  - window: {entity: who, spans: [2s], aggregates: [count]}
"""


def visits(
    features: str, *, exact: int = 256, resolution: int | None = None, label: str = "{field: bad, delay: 4s}"
) -> Definition:
    """exact and resolution: smaller than a file may say, so that short histories reach beyond them."""
    definition = parse_definition(text_of(features, label), "visits.yaml")
    rows = tuple(
        replace(row, exact=exact, resolution=row.resolution if resolution is None else resolution)
        for row in definition.rows
    )
    return replace(definition, rows=rows)


def text_of(features: str, label: str = "{field: bad, delay: 4s}") -> str:
    """The use case file."""
    return f"""
name: visits
task: binary
event:
  id: id
  time: {{field: at, unit: ms}}
  score_when: "kind = 'paid'"
  fields:
    id: string
    at: timestamp
    who: {{type: string, personal: true}}
    place: string
    kind: string
    amount: float64
entities: {{who: who, place: place}}
label: {label}
features:
  - fields: [amount]
  - {{name: late, sql: "EXTRACT(second FROM at) >= 5"}}
{features}
rules: [{{otherwise: 0.5}}]
decisions: [{{otherwise: go}}]
"""


DEFINITIONS = {
    "time": visits(TIME),
    "counts": visits(COUNTS),
    "both": visits(TIME + COUNTS),
    "tiles": visits(TIME + COUNTS, exact=3, resolution=1500),
    "coarse": visits(TIME, exact=2, resolution=4000),
    "cut": visits(COUNTS, exact=3, resolution=0),
}


def table_of(rows: Sequence[dict[str, Any]]) -> pa.Table:
    """rows: id, at (ms), who, place, kind, amount, bad, and late: how long after it the label came."""
    types = {"id": "string", "at": "int64", "who": "string", "place": "string", "kind": "string"}
    columns = {name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()}
    columns["amount"] = pa.array([row["amount"] for row in rows], pa.float64())
    columns["bad"] = pa.array([row["bad"] for row in rows], pa.bool_())
    columns["observed_at"] = pa.array([row["at"] + row["late"] for row in rows], pa.int64())
    return pa.table(columns)


def visit(number: int, at: int, **values: Any) -> dict[str, Any]:
    """A row of `table_of`."""
    given = {"who": "a", "place": "x", "kind": "paid", "amount": 1.3, "bad": False, "late": 4000}
    return {"id": f"e{number}", "at": at, **given, **values}


@st.composite
def groups(draw: st.DrawFn) -> list[pa.Table]:
    """A file's row groups: out of order, with ties, labels observed late or never, ids that repeat."""
    rows: list[dict[str, Any]] = []
    for number in range(draw(st.integers(1, 40))):
        row = visit(
            number,
            draw(st.integers(0, 20)) * 500,
            who=draw(st.sampled_from(["a", "b", "b", None])),
            place=draw(st.sampled_from(["x", "x", "y", None])),
            kind=draw(st.sampled_from(["paid", "paid", "seen", None])),
            amount=draw(st.sampled_from([0.1, 0.7, 1.3, 2.9, None])),
            bad=draw(st.sampled_from([True, False, None])),
            late=draw(st.integers(0, 12)) * 500,
        )
        rows += [row, row] if draw(st.integers(0, 9)) == 0 else [row]
    if draw(st.booleans()):
        rows.sort(key=lambda row: int(row["at"]))
    size = draw(st.integers(1, 12))
    return [table_of(rows[at : at + size]) for at in range(0, len(rows), size)]


@st.composite
def timely(draw: st.DrawFn) -> pa.Table:
    """A file of which nothing is in doubt: every id once, and each label known by the time it usually is."""
    count = draw(st.integers(1, 40))
    return table_of(
        [
            visit(
                number,
                draw(st.integers(0, 20)) * 500,
                who=draw(st.sampled_from(["a", "b"])),
                place=draw(st.sampled_from(["x", "x", "y", None])),
                amount=draw(st.sampled_from([0.1, 0.7, 1.3, 2.9, None])),
                bad=draw(st.sampled_from([True, False, False, None])),
                late=draw(st.integers(0, 8)) * 500,
            )
            for number in range(count)
        ]
    )
