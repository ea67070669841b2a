"""Trees in the language of LLVM, a function for each: what it says is added to the sums of a tile of rows.

Most go all ways at once, for eight rows beside one another: every split's two sides are computed, and the
right one is selected. No jump has to be foretold, which is what a walk from split to split waits for. Large
trees, and those with splits of a rarer kind, are walked row by row.
"""

import struct
from collections.abc import Iterator

import numpy as np

from models.compiled.text import ZERO, Missing, Split, Tree

LANES = 8
"""Rows that are computed beside one another: a vector of AVX-512, two of AVX2, four of NEON."""
LEAVES_MAX = 128
"""Of trees that go all ways; beyond, a walk along one way is the shorter one."""
_VECTOR = f"<{LANES} x double>"


def goes_all_ways(tree: Tree) -> bool:
    return len(tree.leaves) <= LEAVES_MAX and all(
        not split.categories and split.missing is not Missing.ZERO for split in tree.splits
    )


def function(at: int, tree: Tree, features: int) -> Iterator[str]:
    """`@tree<at>(tile, sums, numbers, groups, rows, count)`, and what it refers to.

    tile: the features of groups of `LANES` rows, feature by feature. sums: a number for each row. numbers:
    `@numbers<at>`, given so that they are read from memory instead of being made part of the code; null for
    a tree that is walked. rows: the `count` rows as they came.
    """
    if goes_all_ways(tree):
        yield from _all_ways(at, tree, features)
    else:
        yield from _row_by_row(at, features)
        yield from _walk(at, tree)


_PARAMETERS = "double* %tile, double* %sums, double* %numbers, i64 %groups, double* %rows, i64 %count"


def _all_ways(at: int, tree: Tree, features: int) -> Iterator[str]:
    numbers: list[float] = []
    body: list[str] = []

    def splat(value: float) -> str:
        place = len(numbers)
        numbers.append(value)
        body.append(f"  %a{place} = getelementptr double, double* %numbers, i64 {place}\n")
        body.append(f"  %b{place} = load double, double* %a{place}\n")
        body.append(f"  %d{place} = insertelement {_VECTOR} undef, double %b{place}, i32 0\n")
        zeros = f"<{LANES} x i32> zeroinitializer"
        body.append(f"  %e{place} = shufflevector {_VECTOR} %d{place}, {_VECTOR} undef, {zeros}\n")
        return f"%e{place}"

    def said(child: int) -> str:
        """What the tree says from there on: a vector."""
        if child < 0:
            return splat(tree.leaves[~child])
        split = tree.splits[child]
        left, right = said(split.left), said(split.right)
        edge = splat(out_of_zero(split.threshold))
        body.append(f"  %p{child} = getelementptr {_VECTOR}, {_VECTOR}* %x, i64 {split.feature}\n")
        body.append(f"  %x{child} = load {_VECTOR}, {_VECTOR}* %p{child}\n")
        body.append(f"  %c{child} = fcmp {_compare(split)} {_VECTOR} %x{child}, {edge}\n")
        ways = f"{_VECTOR} {left}, {_VECTOR} {right}"
        body.append(f"  %s{child} = select <{LANES} x i1> %c{child}, {ways}\n")
        return f"%s{child}"

    result = said(0 if tree.splits else ~0)
    table = ", ".join(f"double {number(value)}" for value in numbers)
    yield f"@numbers{at} = private constant [{len(numbers)} x double] [{table}]\n"
    yield f"define internal void @tree{at}({_PARAMETERS}) {{\nbegin:\n  br label %group\ngroup:\n"
    yield "  %g = phi i64 [ 0, %begin ], [ %next, %group ]\n"
    yield f"  %vectors = bitcast double* %tile to {_VECTOR}*\n  %first = mul i64 %g, {features}\n"
    yield f"  %x = getelementptr {_VECTOR}, {_VECTOR}* %vectors, i64 %first\n"
    yield f"  %totals = bitcast double* %sums to {_VECTOR}*\n"
    yield f"  %y = getelementptr {_VECTOR}, {_VECTOR}* %totals, i64 %g\n"
    yield from body
    yield f"  %old = load {_VECTOR}, {_VECTOR}* %y\n  %new = fadd {_VECTOR} %old, {result}\n"
    yield f"  store {_VECTOR} %new, {_VECTOR}* %y\n  %next = add i64 %g, 1\n"
    yield "  %done = icmp eq i64 %next, %groups\n  br i1 %done, label %end, label %group\n"
    yield "end:\n  ret void\n}\n"


def _row_by_row(at: int, features: int) -> Iterator[str]:
    yield f"define internal void @tree{at}({_PARAMETERS}) {{\nbegin:\n  br label %row\nrow:\n"
    yield "  %r = phi i64 [ 0, %begin ], [ %next, %row ]\n"
    yield f"  %first = mul i64 %r, {features}\n  %x = getelementptr double, double* %rows, i64 %first\n"
    yield f"  %said = call double @walk{at}(double* %x)\n"
    yield "  %y = getelementptr double, double* %sums, i64 %r\n  %old = load double, double* %y\n"
    yield "  %new = fadd double %old, %said\n  store double %new, double* %y\n  %next = add i64 %r, 1\n"
    yield "  %done = icmp eq i64 %next, %count\n  br i1 %done, label %end, label %row\nend:\n  ret void\n}\n"


def _walk(at: int, tree: Tree) -> Iterator[str]:
    """A block for each split; of two leaves below a split one is selected."""
    for place, split in enumerate(tree.splits):
        if split.categories:
            words = ", ".join(f"i32 {word}" for word in split.categories)
            yield f"@c{at}.{place} = private constant [{len(split.categories)} x i32] [{words}]\n"
    yield f"define internal double @walk{at}(double* %x) {{\n"
    for place, split in enumerate(tree.splits):
        yield f"n{place}:\n  %p{place} = getelementptr double, double* %x, i64 {split.feature}\n"
        yield f"  %v{place} = load double, double* %p{place}\n"
        yield from _by_category(at, place, split) if split.categories else _by_number(place, split)
        if split.left < 0 and split.right < 0:
            left, right = tree.leaves[~split.left], tree.leaves[~split.right]
            yield f"  %l{place} = select i1 %c{place}, double {number(left)}, double {number(right)}\n"
            yield f"  ret double %l{place}\n"
        else:
            ways = [f"label %n{to}" if to >= 0 else f"label %leaf{~to}" for to in (split.left, split.right)]
            yield f"  br i1 %c{place}, {', '.join(ways)}\n"
            for leaf in (~to for to in (split.left, split.right) if to < 0):
                yield f"leaf{leaf}:\n  ret double {number(tree.leaves[leaf])}\n"
    yield "}\n"


def _by_number(place: int, split: Split) -> Iterator[str]:
    """%cPLACE is whether %vPLACE goes to the left."""
    if split.missing is Missing.ZERO:
        yield f"  %a{place} = call double @llvm.fabs.f64(double %v{place})\n"
        yield f"  %m{place} = fcmp ule double %a{place}, {number(ZERO)}\n"
        yield f"  %o{place} = fcmp ole double %v{place}, {number(split.threshold)}\n"
        if split.default_left:
            yield f"  %c{place} = or i1 %m{place}, %o{place}\n"
        else:
            yield f"  %z{place} = xor i1 %m{place}, true\n  %c{place} = and i1 %z{place}, %o{place}\n"
        return
    edge = number(out_of_zero(split.threshold))
    yield f"  %c{place} = fcmp {_compare(split)} double %v{place}, {edge}\n"


def _compare(split: Split) -> str:
    """At most; `u`: or NaN."""
    nan_left = split.default_left if split.missing is Missing.NAN else split.threshold >= 0.0
    return "ule" if nan_left else "ole"


def _by_category(at: int, place: int, split: Split) -> Iterator[str]:
    """The same. What is no code of a known category, NaN among it, goes to the right."""
    count = len(split.categories)
    array = f"[{count} x i32]"
    yield f"  %g{place} = fcmp ogt double %v{place}, {number(-1.0)}\n"
    yield f"  %k{place} = fcmp olt double %v{place}, {number(32.0 * count)}\n"
    yield f"  %w{place} = and i1 %g{place}, %k{place}\n"
    yield f"  %s{place} = select i1 %w{place}, double %v{place}, double {number(0.0)}\n"
    yield f"  %i{place} = fptosi double %s{place} to i32\n  %d{place} = lshr i32 %i{place}, 5\n"
    yield f"  %r{place} = and i32 %i{place}, 31\n"
    yield f"  %q{place} = getelementptr {array}, {array}* @c{at}.{place}, i32 0, i32 %d{place}\n"
    yield f"  %b{place} = load i32, i32* %q{place}\n  %h{place} = lshr i32 %b{place}, %r{place}\n"
    yield f"  %t{place} = trunc i32 %h{place} to i1\n  %c{place} = and i1 %t{place}, %w{place}\n"


def out_of_zero(threshold: float) -> float:
    """The same split for whoever does not make 0 of features in [-ZERO, ZERO] before comparing.

    A threshold in that range splits them all to one side, so it may as well stand at the range's end.
    """
    if not -ZERO <= threshold < ZERO:
        return threshold
    return ZERO if threshold >= 0 else float(np.nextafter(-ZERO, -1.0))


def number(value: float) -> str:
    """Exactly: LLVM reads the bits."""
    return f"0x{struct.unpack('>Q', struct.pack('>d', value))[0]:016X}"
