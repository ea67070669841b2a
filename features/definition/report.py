"""Collects the mistakes of one use case file, so that all of them are told at once."""

import difflib
from collections.abc import Iterable

from features.definition.document import Node, Path
from features.definition.problems import DefinitionError, Place, Problem, excerpt


class Report:
    """The problems found so far, and which parts of the tree they have left in doubt."""

    def __init__(self, name: str, root: Node, found: Iterable[tuple[Place, Problem]] = ()) -> None:
        self.name = name
        self.root = root
        self.problems = list(found)
        self.doubtful_fields: set[str] = set()
        """Names of fields whose declaration is wrong."""
        self.doubtful_features: list[object] = []
        """Plain data of features that are wrong."""

    def add(
        self,
        path: Path,
        cause: str,
        mend: str,
        *,
        text: str = "",
        offset: int | None = None,
        at_key: bool = False,
    ) -> None:
        """Note a problem at `path`: at its value, at `offset` within it, or at its key."""
        node = self.root.nearest(path)
        place = node.place if offset is None else node.inside(offset)
        if at_key and node.key is not None:
            place = node.key
        problem = Problem(f"{self.name}:{place}", excerpt(text) if text else node.text(), cause, mend)
        self.problems.append((place, problem))

    def doubts(self, *path: str | int) -> bool:
        """Whether what stands at `path` is incomplete because a part of it was wrong."""
        node = self.root.nearest(path)
        return node.is_hurt() if self.root.has(path) else node.hurt

    def stop_if_any(self) -> None:
        """Raises `DefinitionError` with all problems, if there are any."""
        if self.problems:
            in_order = sorted(self.problems, key=lambda found: found[0])
            raise DefinitionError(list(dict.fromkeys(problem for _, problem in in_order)))


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """A mend for a name that is not one of `known`."""
    names = list(known)
    close = difflib.get_close_matches(name, names, n=1, cutoff=0.6)
    if close:
        return f"did you mean `{close[0]}`?"
    if not names:
        return "there is none to choose from yet"
    shown = ", ".join(f"`{name}`" for name in names[:12])
    return f"choose from {shown}" + (" …" if len(names) > 12 else "")
