"""The first reading of an expression: its tokens, and whatever can be refused by looking at them alone."""

import difflib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, TypeAlias

from sqlglot import Token as SqlglotToken
from sqlglot import Tokenizer, TokenType
from sqlglot.errors import TokenError

from features.expression.functions import FUNCTIONS, SPELLINGS
from features.expression.problem import ExpressionProblem, problem_at
from features.expression.tree import BARE_NAME

BYTES_MAX = 2048
NESTING_MAX = 20
"""Levels of parentheses, CASE and prefixes; sqlglot takes some 25 Python frames for each."""

TokenKind: TypeAlias = Literal["word", "quoted", "number", "string", "symbol", "unreadable"]


@dataclass(frozen=True, slots=True)
class Token:
    """`text[start:end]`."""

    kind: TokenKind
    start: int
    end: int
    source: str
    value: str
    """A word in capitals; a name or string without its quotes; else as it stands."""
    is_name: bool = False
    """Whether SQL knows it as nothing but a name."""

    @property
    def keyword(self) -> str:
        """The word in capitals, or the symbol; empty for anything else."""
        return self.value if self.kind in ("word", "symbol") else ""


SYMBOLS = frozenset(("(", ")", ",", "+", "-", "*", "/", "%", "=", "<>", "!=", "<", "<=", ">", ">=", "||"))
SPACES = " \t\r\n"
NUMBER = re.compile(r"[0-9]+([.][0-9]*)?([eE][+-]?[0-9]+)?")
KEYWORDS_BEFORE_PARENTHESIS = frozenset(
    (
        "AND",
        "OR",
        "NOT",
        "IN",
        "WHEN",
        "THEN",
        "ELSE",
        "CASE",
        "BETWEEN",
        "LIKE",
        "CAST",
        "EXTRACT",
        "FROM",
        "IS",
    )
)

SYMBOL_MENDS = {
    "==": "write =",
    "::": "write CAST(x AS DOUBLE)",
    "^": "write POWER(x, y)",
    "**": "write POWER(x, y)",
    "!": "write NOT, or <> for unequal",
    "&&": "write AND",
    "&": "write AND",
    "|": "write OR, or || to join strings",
    ";": "write one expression",
    ".": "names have no dots here, and a number starts with a digit, as in 0.5",
    "`": 'quote names as in "order"',
    "<=>": "write a = b, or a IS NULL",
    **dict.fromkeys("?:@$", "there are no parameters: write the value itself"),
}
CLOCK = "nothing here reads a clock: use a timestamp field of the event"
AGGREGATE = "aggregates belong to a `window`; to compare values of one event use LEAST or GREATEST"
EXTRACTION = "write EXTRACT(hour FROM x)"
FUNCTION_MENDS = {
    **dict.fromkeys(("COUNT", "SUM", "AVG", "MIN", "MAX", "MEAN", "MEDIAN", "STDDEV", "VARIANCE"), AGGREGATE),
    **dict.fromkeys(
        ("NOW", "CURRENT_DATE", "CURRENT_TIMESTAMP", "GETDATE", "TODAY", "RANDOM", "RAND"), CLOCK
    ),
    **dict.fromkeys(("YEAR", "MONTH", "DAY", "HOUR", "MINUTE", "DATE_PART", "DAYOFWEEK", "WEEK"), EXTRACTION),
    **dict.fromkeys(("IFNULL", "NVL", "ISNULL"), "write COALESCE(x, y)"),
    **dict.fromkeys(("IF", "IIF"), "write CASE WHEN … THEN … ELSE … END"),
    **dict.fromkeys(("LEN", "CHAR_LENGTH"), "write LENGTH(x)"),
    **dict.fromkeys(("LOG", "LOG10", "LOG2"), "write LN(x), divided by LN(10) or LN(2)"),
    "MOD": "write x % y",
    "TRY_CAST": "write CAST, which gives null where it fails",
    "SAFE_CAST": "write CAST, which gives null where it fails",
}


def scan(text: str) -> tuple[list[Token], list[ExpressionProblem]]:
    """The tokens of `text`, and what is wrong with it already: no tree could make that good."""
    try:
        size = len(text.encode())
    except UnicodeEncodeError as error:
        return [], [problem_at(text, error.start, error.end, "half a character (a surrogate)", "remove it")]
    if size > BYTES_MAX:
        return [], [too_long(text, f"{size:,} bytes")]
    try:
        raw = Tokenizer().tokenize(text)
    except TokenError:  # an unclosed quote is all that the tokenizer refuses
        return [], [problem_at(text, _open_quote(text), len(text), "the quote is not closed", "close it")]
    problems = [*_between_tokens(text, raw)]
    tokens = [_token(text, token) for token in raw]
    problems.extend(_unreadable(text, tokens))
    if not tokens and not problems:
        problems = [problem_at(text, 0, len(text), "there is no expression", "write one, as in amount > 100")]
    problems.extend(_calls(text, tokens))
    problems.extend(_nesting(text, tokens))
    return tokens, problems


def too_long(text: str, size: str) -> ExpressionProblem:
    return problem_at(
        text,
        0,
        len(text),
        f"{size} long, and at most {BYTES_MAX:,} are read",
        "split it into several features",
    )


def close_match(word: str, known: Iterable[str]) -> str | None:
    """The one of `known` that was probably meant."""
    by_lower = {candidate.lower(): candidate for candidate in known}
    found = difflib.get_close_matches(word.lower(), by_lower, n=1)
    return by_lower[found[0]] if found else None


def _open_quote(text: str) -> int:
    """Where the quote opens that nothing closes. A doubled quote closes one and opens the next."""
    quote, start = "", 0
    for i, character in enumerate(text):
        if quote:
            quote = "" if character == quote else quote
        elif character in "'\"":
            doubled = i > 0 and text[i - 1] == character
            quote, start = character, start if doubled else i
    return start


def _between_tokens(text: str, tokens: list[SqlglotToken]) -> Iterator[ExpressionProblem]:
    """Comments, and characters that the tokenizer passes over."""
    starts = [token.start for token in tokens]
    ends = [token.end + 1 for token in tokens]
    for start, end in zip([0, *ends], [*starts, len(text)], strict=True):
        gap = text[start:end]
        if gap.strip(SPACES):
            first = start + len(gap) - len(gap.lstrip(SPACES))
            cause = "comments and unusual characters are not read"
            yield problem_at(text, first, end, cause, "use spaces between words")


def _token(text: str, token: SqlglotToken) -> Token:
    start, end = token.start, token.end + 1
    source = text[start:end]

    is_name = token.token_type in (TokenType.VAR, TokenType.IDENTIFIER)

    def made(kind: TokenKind, value: str) -> Token:
        return Token(kind, start, end, source, value, is_name)

    if token.token_type == TokenType.STRING and source == "'" + token.text.replace("'", "''") + "'":
        return made("string", token.text)
    if token.token_type == TokenType.IDENTIFIER and source == '"' + token.text.replace('"', '""') + '"':
        return made("quoted", token.text)
    if NUMBER.fullmatch(source):
        return made("number", source)
    if source in SYMBOLS:
        return made("symbol", source)
    if BARE_NAME.fullmatch(source):
        return made("word", source.upper())
    return Token("unreadable", start, end, source, source)


def _unreadable(text: str, tokens: list[Token]) -> Iterator[ExpressionProblem]:
    otherwise = 'use names, numbers, strings and operators; quote unusual names as in "é"'
    for token in tokens:
        if token.kind == "unreadable":
            mend = SYMBOL_MENDS.get(token.source, otherwise)
            yield problem_at(text, token.start, token.end, "this has no meaning in an expression", mend)


def _calls(text: str, tokens: list[Token]) -> Iterator[ExpressionProblem]:
    """Calls of functions that are not on the list."""
    allowed = SPELLINGS.keys() | KEYWORDS_BEFORE_PARENTHESIS
    for token, following in pairwise(tokens):
        called = following.source == "(" or token.value == "IF"  # a bare IF is a statement to sqlglot
        if token.kind != "word" or not called or token.value in allowed:
            continue
        mend = FUNCTION_MENDS.get(token.value)
        if mend is None:
            close = close_match(token.value, SPELLINGS)
            mend = f"did you mean {close}?" if close else f"there are {', '.join(FUNCTIONS)}"
        yield problem_at(text, token.start, token.end, "not a function that an expression may call", mend)


def _nesting(text: str, tokens: list[Token]) -> Iterator[ExpressionProblem]:
    """Parentheses and CASEs that do not match, and what is nested too deeply."""
    opened: list[Token] = []
    prefixes = 0
    for token in tokens:
        prefixes = prefixes + 1 if token.keyword in ("NOT", "-", "+") else 0
        if token.keyword in ("(", "CASE"):
            opened.append(token)
        elif token.source == ")":
            while opened and opened[-1].source != "(":
                opened.pop()
            if not opened:
                yield problem_at(text, token.start, token.end, "no parenthesis is open", "remove it")
                return
            opened.pop()
        elif token.keyword == "END" and opened and opened[-1].value == "CASE":
            opened.pop()
        if len(opened) + prefixes > NESTING_MAX:
            cause = f"nested more than {NESTING_MAX} levels deep"
            yield problem_at(text, token.start, token.end, cause, "split it into several features")
            return
    for token in opened:
        if token.source == "(":
            yield problem_at(text, token.start, token.end, "the parenthesis is not closed", "write )")
