"""What of sqlglot's tree an expression may hold, and how it is written."""

from typing import Any

from sqlglot import exp

from features.expression.scan import CLOCK

BINARY: dict[type[Any], tuple[str, ...]] = {
    exp.And: ("AND",),
    exp.Or: ("OR",),
    exp.EQ: ("=",),
    exp.NEQ: ("<>", "!="),
    exp.LT: ("<",),
    exp.LTE: ("<=",),
    exp.GT: (">",),
    exp.GTE: (">=",),
    exp.Add: ("+",),
    exp.Sub: ("-",),
    exp.Mul: ("*",),
    exp.Div: ("/",),
    exp.Mod: ("%",),
    exp.DPipe: ("||",),
}
"""How an operator is written; first as it is called in the tree."""

COMPARISONS = (exp.EQ, exp.NEQ, exp.LT, exp.LTE, exp.GT, exp.GTE, exp.Is, exp.In, exp.Between, exp.Like)
LOOSE = (*COMPARISONS, exp.Not)
"""SQL engines disagree on how these group as operands of a comparison, so parentheses are demanded."""

NEGATABLE = (exp.In, exp.Between, exp.Is, exp.Like)

CALLS: dict[type[Any], tuple[str, tuple[str, ...]]] = {
    exp.Abs: ("ABS", ("this",)),
    exp.Round: ("ROUND", ("this", "decimals")),
    exp.Floor: ("FLOOR", ("this",)),
    exp.Ceil: ("CEIL", ("this",)),
    exp.Sqrt: ("SQRT", ("this",)),
    exp.Ln: ("LN", ("this",)),
    exp.Exp: ("EXP", ("this",)),
    exp.Pow: ("POWER", ("this", "expression")),
    exp.Sign: ("SIGN", ("this",)),
    exp.Least: ("LEAST", ("this", "expressions")),
    exp.Greatest: ("GREATEST", ("this", "expressions")),
    exp.Coalesce: ("COALESCE", ("this", "expressions")),
    exp.Nullif: ("NULLIF", ("this", "expression")),
    exp.Length: ("LENGTH", ("this",)),
    exp.Lower: ("LOWER", ("this",)),
    exp.Upper: ("UPPER", ("this",)),
    exp.Trim: ("TRIM", ("this",)),
    exp.Substring: ("SUBSTRING", ("this", "start", "length")),
    exp.Concat: ("CONCAT", ("expressions",)),
}
"""The function of a node's class, and where sqlglot keeps its arguments."""

MENDS: dict[type[Any], str] = {
    exp.ILike: "write LOWER(x) LIKE 'y%'",
    exp.NullSafeEQ: "write a = b, or a IS NULL",
    exp.NullSafeNEQ: "write a <> b, or a IS NULL",
    exp.CurrentDate: CLOCK,
    exp.CurrentTime: CLOCK,
    exp.CurrentTimestamp: CLOCK,
    exp.Interval: "write seconds, as in EXTRACT(epoch FROM a) - EXTRACT(epoch FROM b) > 3600",
    exp.AtTimeZone: "set the definition's timezone",
    exp.IntDiv: "write FLOOR(a / b)",
    exp.Subquery: "an expression sees one event; history is for a `window`",
    exp.Select: "an expression sees one event; history is for a `window`",
    exp.Star: "name a field or feature",
}
