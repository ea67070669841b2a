"""Everything that can be applied to values: what it takes, what it gives, and the kernel that does it.

Where SQL engines differ we follow Postgres, but for two things that float64 decides: ROUND takes halves
away from zero (as DuckDB does, and Postgres for decimals), and what Postgres raises an error for is null.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeAlias

from features.arrays import Column
from features.expression import logic, numbers, strings
from features.expression.tree import ColumnType

Kernel: TypeAlias = Callable[..., Column]
"""Arrays of shape (n,), or (1,) for constants, to an array of their broadcast shape; it writes to none."""

Operand: TypeAlias = ColumnType | Literal["same"]
"""``same``: any type, but one type for all operands that are ``same``, and for a result that is."""


@dataclass(frozen=True, slots=True)
class Function:
    """A function or operator."""

    usage: str
    takes: tuple[Operand, ...]
    gives: Operand
    kernel: Kernel
    """For numbers, bools and timestamps where the operands are ``same``."""
    of_strings: Kernel | None = None
    """For operands that are ``same`` and strings; None where `kernel` does for both."""
    optional: int = 0
    """How many of the last operands may be left out."""
    variadic: bool = False
    """Whether the last operand may be repeated."""

    def accepts(self, count: int) -> bool:
        most = count if self.variadic else len(self.takes)
        return len(self.takes) - self.optional <= count <= most

    def operand(self, index: int) -> Operand:
        return self.takes[min(index, len(self.takes) - 1)]

    def kernel_for(self, same: ColumnType | None) -> Kernel:
        return self.of_strings if same == "string" and self.of_strings is not None else self.kernel


def _comparison(symbol: str, kernel: Kernel, of_strings: Kernel) -> Function:
    return Function(f"a {symbol} b", ("same", "same"), "bool", kernel, of_strings)


def _arithmetic(symbol: str, kernel: Kernel) -> Function:
    return Function(f"a {symbol} b", ("number", "number"), "number", kernel)


def _of_number(name: str, kernel: Kernel) -> Function:
    return Function(f"{name}(x)", ("number",), "number", kernel)


def _of_string(name: str, kernel: Kernel) -> Function:
    return Function(f"{name}(s)", ("string",), "string", kernel)


OPERATORS: dict[str, Function] = {
    "+": _arithmetic("+", numbers.add),
    "-": _arithmetic("-", numbers.subtract),
    "*": _arithmetic("*", numbers.multiply),
    "/": _arithmetic("/", numbers.divide),
    "%": _arithmetic("%", numbers.remainder),
    "NEGATE": Function("-x", ("number",), "number", numbers.negate),
    "||": Function("s || t", ("string", "string"), "string", strings.join),
    "=": _comparison("=", logic.equal, logic.equal_strings),
    "<>": _comparison("<>", logic.unequal, logic.unequal_strings),
    "<": _comparison("<", logic.less, logic.less_strings),
    "<=": _comparison("<=", logic.at_most, logic.at_most_strings),
    ">": _comparison(">", logic.greater, logic.greater_strings),
    ">=": _comparison(">=", logic.at_least, logic.at_least_strings),
    "AND": Function("p AND q", ("bool", "bool"), "bool", logic.both),
    "OR": Function("p OR q", ("bool", "bool"), "bool", logic.either),
    "NOT": Function("NOT p", ("bool",), "bool", logic.negation),
    "IS NULL": Function("x IS NULL", ("same",), "bool", logic.missing),
    "BETWEEN": Function(
        "x BETWEEN a AND b", ("same", "same", "same"), "bool", logic.between, logic.between_strings
    ),
    "IN": Function("x IN (a, b)", ("same", "same"), "bool", logic.among, logic.among_strings, variadic=True),
}

FUNCTIONS: dict[str, Function] = {
    "ABS": _of_number("ABS", numbers.absolute),
    "ROUND": Function("ROUND(x, digits)", ("number", "number"), "number", numbers.rounded, optional=1),
    "FLOOR": _of_number("FLOOR", numbers.floor),
    "CEIL": _of_number("CEIL", numbers.ceil),
    "SQRT": _of_number("SQRT", numbers.square_root),
    "LN": _of_number("LN", numbers.logarithm),
    "EXP": _of_number("EXP", numbers.exponential),
    "POWER": Function("POWER(x, y)", ("number", "number"), "number", numbers.power),
    "SIGN": _of_number("SIGN", numbers.sign),
    "LEAST": Function("LEAST(a, b)", ("same",), "same", logic.least, logic.least_strings, variadic=True),
    "GREATEST": Function(
        "GREATEST(a, b)", ("same",), "same", logic.greatest, logic.greatest_strings, variadic=True
    ),
    "COALESCE": Function("COALESCE(a, b)", ("same",), "same", logic.coalesce, variadic=True),
    "NULLIF": Function("NULLIF(a, b)", ("same", "same"), "same", logic.null_if, logic.null_if_strings),
    "LENGTH": Function("LENGTH(s)", ("string",), "number", strings.length),
    "LOWER": _of_string("LOWER", strings.lower),
    "UPPER": _of_string("UPPER", strings.upper),
    "TRIM": _of_string("TRIM", strings.trim),
    "SUBSTRING": Function(
        "SUBSTRING(s, start, length)", ("string", "number", "number"), "string", strings.substring, optional=1
    ),
    "CONCAT": Function("CONCAT(s, t)", ("string",), "string", strings.concatenate, variadic=True),
}

SPELLINGS = {name: name for name in FUNCTIONS} | {"CEILING": "CEIL", "POW": "POWER", "SUBSTR": "SUBSTRING"}
"""What a function may be called in an expression, and its name here."""
