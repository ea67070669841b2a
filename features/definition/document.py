"""A use case file as a tree: YAML to plain data in which every node knows where it stands.

Scalars follow YAML 1.2's core schema (``no`` is a text, ``1e3`` a number), infinities and NaN are texts.
Anchors, aliases and tags are refused, so that a small file cannot grow into a large one.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import yaml
from yaml.events import AliasEvent, CollectionStartEvent, ScalarEvent

from features.definition.problems import DefinitionError, Place, Problem, excerpt

FILE_BYTES_MAX = 1_000_000
DEPTH_MAX = 24

Path: TypeAlias = tuple[str | int, ...]
Scalar: TypeAlias = str | int | float | bool | None
Content: TypeAlias = "Scalar | dict[str, Node] | list[Node]"
Quote: TypeAlias = Literal["plain", "single", "double", "block"]

_QUOTES: dict[str | None, Quote] = {None: "plain", "'": "single", '"': "double"}
_NULL = frozenset({"null", "Null", "NULL", "~", ""})
_BOOL = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_INT = re.compile(r"[-+]?[0-9]{1,18}")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")


@dataclass(frozen=True, slots=True)
class Node:
    """A value of the file, with its place."""

    content: Content
    place: Place
    key: Place | None = None
    """Where the key stands that names it; None for items of lists and for the whole."""
    quote: Quote = "block"
    """How a text was written; ``block`` where places inside it are not known."""
    hurt: bool = False
    """Whether a part was taken out of it because it was wrong."""

    def plain(self) -> Any:
        """The value as plain data."""
        if isinstance(self.content, dict):
            return {name: child.plain() for name, child in self.content.items()}
        if isinstance(self.content, list):
            return [child.plain() for child in self.content]
        return self.content

    def child(self, step: str | int) -> "Node | None":
        if isinstance(self.content, dict) and isinstance(step, str):
            return self.content.get(step)
        if isinstance(self.content, list) and isinstance(step, int) and step < len(self.content):
            return self.content[step]
        return None

    def nearest(self, path: Path) -> "Node":
        """The node at `path`, or the last one on the way that is there."""
        below = self.child(path[0]) if path else None
        return self if below is None else below.nearest(path[1:])

    def has(self, path: Path) -> bool:
        below = self.child(path[0]) if path else self
        return below is not None and (len(path) < 2 or below.has(path[1:]))

    def is_hurt(self) -> bool:
        """Whether anything was taken out of it or of what it holds."""
        below: Iterable[Node] = ()
        if isinstance(self.content, dict | list):
            below = self.content.values() if isinstance(self.content, dict) else self.content
        return self.hurt or any(child.is_hurt() for child in below)

    def without(self, path: Path) -> "Node":
        """A copy that lacks the node at `path`, which must be there."""
        step, rest = path[0], path[1:]
        if isinstance(self.content, dict):
            items = dict(self.content)
            if rest:
                items[str(step)] = items[str(step)].without(rest)
            else:
                del items[str(step)]
            return replace(self, content=items, hurt=self.hurt or not rest)
        assert isinstance(self.content, list)
        assert isinstance(step, int)
        kept = list(self.content)
        kept[step : step + 1] = [kept[step].without(rest)] if rest else []
        return replace(self, content=kept, hurt=self.hurt or not rest)

    def inside(self, offset: int) -> Place:
        """The place of character `offset` of a text; the text's own where that cannot be told."""
        if self.quote == "block" or not isinstance(self.content, str):
            return self.place
        doubled = self.content[:offset].count("'") if self.quote == "single" else 0
        return replace(self.place, column=self.place.column + offset + doubled + (self.quote != "plain"))

    def text(self) -> str:
        """A short excerpt for messages."""
        if isinstance(self.content, dict):
            return excerpt("{" + ", ".join(f"{name}: …" for name in self.content) + "}")
        if isinstance(self.content, list):
            return excerpt("[" + ", ".join(child.text() for child in self.content) + "]")
        if isinstance(self.content, bool) or self.content is None:
            return {True: "true", False: "false", None: "null"}[self.content]
        return excerpt(str(self.content)) or "''"


def read_bytes(data: bytes, name: str) -> str:
    """The text of a file. Raises `DefinitionError` where it is too large or not UTF-8."""
    if len(data) > FILE_BYTES_MAX:
        cause = f"larger than {FILE_BYTES_MAX:,} bytes"
        raise DefinitionError(
            [
                Problem(
                    f"{name}:1:1",
                    f"{len(data):,} bytes",
                    cause,
                    "a use case is a short file; is it the right one?",
                )
            ]
        )
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        before = data[: error.start].decode("utf-8", "replace")
        place = _place_at(before, len(before))
        text = f"byte 0x{data[error.start]:02x}"
        raise DefinitionError(
            [Problem(f"{name}:{place}", text, "is not UTF-8", "save the file as UTF-8")]
        ) from None


def read_yaml(text: str, name: str) -> tuple[Node, list[tuple[Place, Problem]]]:
    """The tree of a YAML text, and what is wrong in it that does not keep it from being read.

    Raises `DefinitionError` at the first mistake of syntax.
    """
    try:
        reader = _Reader(text, name)
        root = reader.get_single_node()
    except yaml.reader.ReaderError as error:
        place = _place_at(text, error.position)
        found = (
            f"character {error.character:#x}" if isinstance(error.character, int) else repr(error.character)
        )
        raise DefinitionError(
            [Problem(f"{name}:{place}", found, "is not allowed in YAML", "take it out")]
        ) from None
    except yaml.MarkedYAMLError as error:
        raise DefinitionError([_syntax_problem(error, text, name)]) from None
    if root is None:
        raise DefinitionError(
            [Problem(f"{name}:1:1", "(nothing)", "the file is empty", "start it with `name: …`")]
        )
    return reader.tree(root), reader.problems


def tree_of_data(data: Any, path: str = "$", key: bool = False) -> Node:
    """Plain data as a tree whose places are paths."""
    place = Place(path=path)
    content: Content = data
    if isinstance(data, Mapping):
        content = {str(name): tree_of_data(value, f"{path}.{name}", True) for name, value in data.items()}
    elif isinstance(data, list | tuple):
        content = [tree_of_data(value, f"{path}[{i}]") for i, value in enumerate(data)]
    return Node(content, place, place if key else None)


class _Reader(yaml.SafeLoader):
    """PyYAML's composer, held to trees of bounded depth."""

    def __init__(self, text: str, name: str) -> None:
        super().__init__(text)
        self.name = name
        self.problems: list[tuple[Place, Problem]] = []
        self.depth = 0

    def refuse(self, mark: Any, text: str, cause: str, mend: str) -> None:
        place = _place(mark)
        self.problems.append((place, Problem(f"{self.name}:{place}", excerpt(text), cause, mend)))

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        event = self.peek_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
        if isinstance(event, AliasEvent):
            self.get_event()  # type: ignore[no-untyped-call]  # the stubs leave it untyped
            self.refuse(event.start_mark, f"*{event.anchor}", "aliases are not read", "write the value out")
            mark: Any = event.start_mark
            return yaml.ScalarNode("", "~", mark, mark)
        if isinstance(event, ScalarEvent | CollectionStartEvent):
            if event.anchor:
                self.refuse(event.start_mark, f"&{event.anchor}", "anchors are not read", "take it out")
                event.anchor = None
            if event.tag:
                self.refuse(event.start_mark, event.tag, "tags are not read", "take it out")
                event.tag = None
        if self.depth == DEPTH_MAX:
            raise yaml.MarkedYAMLError(problem="nested too deeply", problem_mark=event.start_mark)
        self.depth += 1
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node

    def tree(self, node: yaml.Node, key: Place | None = None) -> Node:
        """The tree below a composed node; of a key that occurs twice the first stays."""
        place = _place(node.start_mark)
        if isinstance(node, yaml.MappingNode):
            return Node(self.children(node), place, key)
        if isinstance(node, yaml.SequenceNode):
            return Node([self.tree(item) for item in node.value], place, key)
        assert isinstance(node, yaml.ScalarNode)
        raw = self.source(node)
        quote = _QUOTES.get(node.style, "block")
        if "\n" in raw or (quote == "double" and "\\" in raw):
            quote = "block"
        return Node(_scalar(node.value) if node.style is None else node.value, place, key, quote)

    def children(self, node: yaml.MappingNode) -> dict[str, Node]:
        items: dict[str, Node] = {}
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                self.refuse(key.start_mark, self.source(key), "a key must be a name", "write `name: value`")
                continue
            place, name = _place(key.start_mark), key.value
            if name in items:
                cause = f"the key stands here twice, first at {items[name].key}"
                self.refuse(key.start_mark, name, cause, "keep one of the two")
                continue
            if isinstance(value, yaml.ScalarNode) and value.style is None and value.value == "":
                self.refuse(key.start_mark, name, "the key has no value", "give it one, or take the key out")
                continue
            items[name] = self.tree(value, place)
        return items

    def source(self, node: yaml.Node) -> str:
        return str(self.buffer[node.start_mark.index : node.end_mark.index])


def _scalar(text: str) -> Scalar:
    if text in _NULL:
        return None
    if text in _BOOL:
        return _BOOL[text]
    if _INT.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text


def _place(mark: Any) -> Place:
    return Place(mark.line + 1, mark.column + 1)


def _place_at(text: str, index: int) -> Place:
    return Place(text.count("\n", 0, index) + 1, index - text.rfind("\n", 0, index))


def _syntax_problem(error: yaml.MarkedYAMLError, text: str, name: str) -> Problem:
    mark = error.problem_mark or error.context_mark
    place = _place(mark) if mark else Place(1, 1)
    lines = text.splitlines() or [""]
    found = excerpt(lines[min(place.line, len(lines)) - 1][place.column - 1 :]) or "(end of line)"
    cause = error.problem or "is not YAML"
    mend = "mend the YAML syntax here or just before"
    if "\\t" in cause:
        found, cause, mend = "(tab)", "a tab cannot indent YAML", "use spaces"
    elif cause.startswith("mapping values"):
        mend = "put quotes around a text that holds `: `, or mend the indentation"
    elif cause == "but found another document":
        cause, mend = "a second document begins here", "keep one use case a file, without `---` in between"
    elif cause == "nested too deeply":
        mend = f"at most {DEPTH_MAX} levels are read"
    return Problem(f"{name}:{place}", found, cause, mend)
