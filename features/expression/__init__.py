"""Scalar SQL expressions, compiled by an allow-list to numpy."""

from features.expression.expression import Expression, compile_expression
from features.expression.logic import truth
from features.expression.problem import ExpressionError, ExpressionProblem
from features.expression.tree import ColumnType

__all__ = [
    "ColumnType",
    "Expression",
    "ExpressionError",
    "ExpressionProblem",
    "compile_expression",
    "truth",
]
