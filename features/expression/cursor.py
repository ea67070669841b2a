"""A place among the tokens of an expression, which only moves past what was expected there."""

from collections.abc import Sequence
from typing import NoReturn

from features.expression.problem import ExpressionError, problem_at
from features.expression.scan import Token
from features.expression.tree import Node

ALLOWED = (
    "an expression holds names, literals, arithmetic, comparisons, AND, OR, NOT, IN, BETWEEN, LIKE, IS NULL, "
    "CASE, CAST, EXTRACT and functions such as COALESCE"
)


class Cursor:
    """Moves over `tokens` of `text`; every refusal is an `ExpressionError`."""

    def __init__(self, text: str, tokens: Sequence[Token]) -> None:
        self.text = text
        self.tokens = tokens
        self.place = 0

    @property
    def token(self) -> Token:
        """The current token; an empty one at the end."""
        if self.place < len(self.tokens):
            return self.tokens[self.place]
        end = len(self.text)
        return Token("symbol", end, end, "", "")

    @property
    def ended(self) -> int:
        """Where the token before the current one ends."""
        return self.tokens[self.place - 1].end

    def take(self, *spellings: str) -> Token:
        """The current token, which must be a word or symbol among `spellings`."""
        token = self.token
        if token.keyword not in spellings:
            found = f"`{token.source}`" if token.source else "the end of the expression"
            mend = f"write {spellings[0]} before it" if token.source else f"write {spellings[0]}"
            self.refuse(f"{spellings[0]} was expected instead of {found}", mend)
        self.place += 1
        return token

    def take_kind(self, *kinds: str) -> Token:
        token = self.token
        if token.kind not in kinds:
            self.refuse("this cannot be read here", ALLOWED)
        self.place += 1
        return token

    def refuse(self, cause: str, mend: str, to_end: bool = False) -> NoReturn:
        token = self.token
        end = len(self.text) if to_end else token.end
        raise ExpressionError([problem_at(self.text, token.start, end, cause, mend)])

    def refuse_node(self, node: Node, cause: str, mend: str) -> NoReturn:
        raise ExpressionError([problem_at(self.text, node.start, node.end, cause, mend)])

    def node(self, op: str, start: int, *arguments: Node, value: str | float | bool | None = None) -> Node:
        return Node(op, start, self.ended, arguments, value)

    def finish(self) -> None:
        if self.place < len(self.tokens):
            self.refuse("nothing can follow here", "remove it, or write an operator before it")
