"""The text of a LightGBM model, as far as its scores depend on it."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum

import numpy as np

ZERO = float(np.float32(1e-35))
"""LightGBM takes features of at most this magnitude for 0, whatever their sign."""

_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_WORD_BITS = 32
_VERSIONS = ("v3", "v4")


class Missing(IntEnum):
    """What a split takes for missing."""

    NOTHING = 0  # a NaN is a 0 to it
    ZERO = 1  # and NaN
    NAN = 2


@dataclass(frozen=True, slots=True)
class Split:
    """Of two ways down a tree; a negative child is the leaf ~child."""

    feature: int
    left: int
    right: int
    threshold: float
    """To the left goes what is at most this; of no meaning where there are `categories`."""
    missing: Missing
    default_left: bool
    """Whether what is missing goes to the left."""
    categories: tuple[int, ...] = ()
    """Where it is by categories: words of 32 bits, in which those that go to the left have theirs set."""


@dataclass(frozen=True, slots=True)
class Tree:
    splits: tuple[Split, ...]
    """The first is the root's; none where the tree is one leaf."""
    leaves: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Forest:
    trees: tuple[Tree, ...]
    """In the order in which their leaves are added up; one for each output, and again."""
    features: int
    outputs: int
    objective: str
    """Its name and parameters, as ``binary sigmoid:1``."""
    is_averaged: bool
    """Whether the sum is divided by the number of rounds."""


class NotKnown(Exception):
    """A model with something that is not known here. The text says what."""


def parse(text: str) -> Forest:
    """Raises `NotKnown`, or `ValueError` or `LookupError` for what is no model."""
    head, *blocks = text.partition("\nend of trees")[0].split("\nTree=")
    header = _lines(head)
    outputs = int(header["num_tree_per_iteration"])
    if header.get("version") not in _VERSIONS:
        raise NotKnown(f"its text is of version {header.get('version')}")
    if len(blocks) % outputs:
        raise ValueError(f"{len(blocks)} trees for {outputs} outputs")
    return Forest(
        trees=tuple(_tree(_lines(block)) for block in blocks),
        features=int(header["max_feature_idx"]) + 1,
        outputs=outputs,
        objective=header.get("objective", ""),
        is_averaged="average_output" in head.splitlines(),
    )


def thresholds(forest: Forest) -> Mapping[int, frozenset[float]]:
    """Where numbers are split, by feature."""
    found: dict[int, set[float]] = {}
    for split in _splits(forest):
        if not split.categories:
            found.setdefault(split.feature, set()).add(split.threshold)
    return {feature: frozenset(values) for feature, values in found.items()}


def codes(forest: Forest) -> Mapping[int, int]:
    """How many codes of categories the splits tell apart, by feature."""
    found: dict[int, int] = {}
    for split in _splits(forest):
        if split.categories:
            found[split.feature] = max(_WORD_BITS * len(split.categories), found.get(split.feature, 0))
    return found


def _splits(forest: Forest) -> Iterator[Split]:
    for tree in forest.trees:
        yield from tree.splits


def _tree(lines: Mapping[str, str]) -> Tree:
    if lines.get("is_linear", "0") != "0":
        raise NotKnown("its leaves hold linear models")
    leaves = tuple(map(float, lines["leaf_value"].split()))
    names = ("split_feature", "left_child", "right_child", "decision_type")
    columns = [map(int, lines[name].split()) for name in names]
    bounds = list(map(int, lines.get("cat_boundaries", "").split()))
    words = list(map(int, lines.get("cat_threshold", "").split()))
    made = []
    for feature, left, right, kind, value in zip(
        *columns, map(float, lines["threshold"].split()), strict=True
    ):
        categories: tuple[int, ...] = ()
        if kind & _CATEGORICAL:
            at = int(value)
            categories = tuple(words[bounds[at] : bounds[at + 1]])
        missing = Missing((kind >> 2) & 3)
        made.append(Split(feature, left, right, value, missing, bool(kind & _DEFAULT_LEFT), categories))
    if len(leaves) != len(made) + 1:
        raise ValueError(f"{len(leaves)} leaves for {len(made)} splits")
    return Tree(tuple(made), leaves)


def _lines(block: str) -> dict[str, str]:
    """What stands after the equals sign of each line, by what stands before it."""
    return dict(line.split("=", 1) for line in block.splitlines() if "=" in line)
