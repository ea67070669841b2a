"""From a model to the language of LLVM: the trees, and a function that adds up what they say of each row.

The order of every addition is LightGBM's, so that the bits of the scores are, too. A function of its own for
each tree makes the time to compile grow with the number of trees; one function for all would make it explode.
"""

import re
from collections.abc import Iterator

from models.compiled.text import Forest, NotKnown, Tree
from models.compiled.trees import LANES, function, goes_all_ways, number

ROOT = "score"
"""The name of the function: (features, scores, rows). Both arrays are float64, row by row."""
TILE_BYTES = 16_384
"""Of features: half of what a processor holds next to it. A tree's code is fetched once for a tile."""
GROUPS_MAX = 16
FEATURES_MAX, OUTPUTS_MAX = 8_000, 500
"""A tile and its sums stand on the stack: about 500 kB each at most."""

_POINTER = re.compile(r"(double|i32|\[\d+ x (double|i32)\]|<\d+ x double>)\*")


def generate(forest: Forest, *, opaque: bool) -> str:
    """The module's text. opaque: whether pointers have no type of their own, as from LLVM 16 on.

    Raises `NotKnown` for an objective that is not known here, and for what is too large.
    """
    if forest.features > FEATURES_MAX or forest.outputs > OUTPUTS_MAX:
        raise NotKnown(f"it has {forest.features} features and {forest.outputs} outputs, which is too many")
    parts = ["declare double @exp(double)\ndeclare double @llvm.fabs.f64(double)\n"]
    for at, tree in enumerate(forest.trees):
        parts.extend(function(at, tree, forest.features))
    parts += [*_tiles(forest), *_finish(forest), "end:\n  ret void\n}\n"]
    text = "".join(parts)
    return _POINTER.sub("ptr", text) if opaque else text


def _tiles(forest: Forest) -> Iterator[str]:
    """The sums of all trees over the rows, tile by tile; the last row fills up the last group."""
    features, outputs = forest.features, forest.outputs
    groups = min(max(TILE_BYTES // (8 * LANES * max(1, features)), 1), GROUPS_MAX)
    tile = groups * LANES
    yield f"""
define void @{ROOT}(double* %features, double* %scores, i64 %rows) {{
  %tile = alloca double, i64 {max(1, tile * features)}, align 64
  %sums = alloca double, i64 {tile * outputs}, align 64
  %none = icmp eq i64 %rows, 0
  br i1 %none, label %end, label %tile.begin
tile.begin:
  %base = phi i64 [ 0, %0 ], [ %base.next, %tile.end ]
  %left = sub i64 %rows, %base
  %is_last = icmp ule i64 %left, {tile}
  %count = select i1 %is_last, i64 %left, i64 {tile}
  %filled = add i64 %count, {LANES - 1}
  %groups = udiv i64 %filled, {LANES}
  %width = mul i64 %groups, {LANES}
  %last = sub i64 %count, 1
  %at.first = mul i64 %base, {features}
  %first = getelementptr double, double* %features, i64 %at.first
  br label %turn.row
turn.row:
  %r = phi i64 [ 0, %tile.begin ], [ %r.next, %turn.end ]
  %is_beyond = icmp ugt i64 %r, %last
  %from = select i1 %is_beyond, i64 %last, i64 %r
  %from.at = mul i64 %from, {features}
  %group = udiv i64 %r, {LANES}
  %lane = urem i64 %r, {LANES}
  %group.at = mul i64 %group, {features * LANES}
  %to.at = add i64 %group.at, %lane
{
        "".join(
            f'''  %z{k}.at = add i64 %r, {k * tile}
  %z{k} = getelementptr double, double* %sums, i64 %z{k}.at
  store double {number(0.0)}, double* %z{k}
'''
            for k in range(outputs)
        )
    }  br label %turn
turn:
  %f = phi i64 [ 0, %turn.row ], [ %f.next, %turn ]
  %f.from = add i64 %from.at, %f
  %f.lanes = mul i64 %f, {LANES}
  %f.to = add i64 %to.at, %f.lanes
  %f.source = getelementptr double, double* %first, i64 %f.from
  %f.target = getelementptr double, double* %tile, i64 %f.to
  %f.value = load double, double* %f.source
  store double %f.value, double* %f.target
  %f.next = add i64 %f, 1
  %f.done = icmp eq i64 %f.next, {features}
  br i1 %f.done, label %turn.end, label %turn
turn.end:
  %r.next = add i64 %r, 1
  %r.done = icmp eq i64 %r.next, %width
  br i1 %r.done, label %ask, label %turn.row
ask:
"""
    for k in range(outputs):
        yield f"  %sums{k} = getelementptr double, double* %sums, i64 {k * tile}\n"
    for at, tree in enumerate(forest.trees):
        yield _call(at, tree, f"%sums{at % outputs}")
    yield "  br label %give\ngive:\n  %i = phi i64 [ 0, %ask ], [ %i.next, %give ]\n"
    yield f"  %row = add i64 %base, %i\n  %row.at = mul i64 %row, {outputs}\n"
    for k in range(outputs):
        yield f"  %i{k}.at = add i64 %i, {k * tile}\n  %o{k}.at = add i64 %row.at, {k}\n"
        yield f"  %i{k} = getelementptr double, double* %sums, i64 %i{k}.at\n"
        yield f"  %o{k} = getelementptr double, double* %scores, i64 %o{k}.at\n"
        yield f"  %i{k}.sum = load double, double* %i{k}\n  store double %i{k}.sum, double* %o{k}\n"
    yield "  %i.next = add i64 %i, 1\n  %i.done = icmp eq i64 %i.next, %count\n"
    yield "  br i1 %i.done, label %tile.end, label %give\ntile.end:\n  %base.next = add i64 %base, %count\n"
    yield "  %done = icmp eq i64 %base.next, %rows\n  br i1 %done, label %finish, label %tile.begin\n"


def _call(at: int, tree: Tree, sums: str) -> str:
    numbers = "null"
    if goes_all_ways(tree):
        array = f"[{2 * len(tree.leaves) - 1} x double]"
        numbers = f"getelementptr ({array}, {array}* @numbers{at}, i64 0, i64 0)"
    return (
        f"  call void @tree{at}(double* %tile, double* {sums}, double* {numbers}, i64 %groups, "
        f"double* %first, i64 %count)\n"
    )


def _finish(forest: Forest) -> Iterator[str]:
    """From sums to scores, as `ConvertOutput` of LightGBM's objectives does it."""
    outputs = forest.outputs
    yield "finish:\n  br label %score\nscore:\n  %n = phi i64 [ 0, %finish ], [ %n.next, %score ]\n"
    yield f"  %n.at = mul i64 %n, {outputs}\n"
    sums = []
    for k in range(outputs):
        yield f"  %p{k}.at = add i64 %n.at, {k}\n"
        yield f"  %p{k} = getelementptr double, double* %scores, i64 %p{k}.at\n"
        yield f"  %raw{k} = load double, double* %p{k}\n"
        sums.append(f"%raw{k}")
        if forest.is_averaged:
            yield f"  %mean{k} = fdiv double %raw{k}, {number(float(len(forest.trees) // outputs))}\n"
            sums[k] = f"%mean{k}"
    name, *parameters = forest.objective.split() or [""]
    if outputs == 1:
        yield from _converted(sums[0], name, parameters)
    elif name == "multiclass":
        yield from _softmax(sums)
    else:
        raise NotKnown(f"its objective is {name}")
    yield from (f"  store double %score{k}, double* %p{k}\n" for k in range(outputs))
    yield "  %n.next = add i64 %n, 1\n  %n.done = icmp eq i64 %n.next, %rows\n"
    yield "  br i1 %n.done, label %end, label %score\n"


def _converted(raw: str, name: str, parameters: list[str]) -> Iterator[str]:
    if name == "binary":
        sigmoid = next(float(p.partition(":")[2]) for p in parameters if p.startswith("sigmoid:"))
        yield f"  %slope = fmul double {number(-sigmoid)}, {raw}\n"
        yield "  %power = call double @exp(double %slope)\n"
        yield f"  %below = fadd double {number(1.0)}, %power\n"
        yield f"  %score0 = fdiv double {number(1.0)}, %below\n"
    elif name in {"poisson", "gamma", "tweedie"}:
        yield f"  %score0 = call double @exp(double {raw})\n"
    elif name in {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}:
        factor = number(1.0)
        if "sqrt" in parameters:
            yield f"  %size = call double @llvm.fabs.f64(double {raw})\n"
            factor = "%size"
        yield f"  %score0 = fmul double {factor}, {raw}\n"
    else:
        raise NotKnown(f"its objective is {name}")


def _softmax(sums: list[str]) -> Iterator[str]:
    most, total = sums[0], number(0.0)
    for k in range(1, len(sums)):
        yield f"  %is_more{k} = fcmp olt double {sums[k]}, {most}\n"
        yield f"  %most{k} = select i1 %is_more{k}, double {most}, double {sums[k]}\n"
        most = f"%most{k}"
    for k, raw in enumerate(sums):
        yield f"  %less{k} = fsub double {raw}, {most}\n"
        yield f"  %e{k} = call double @exp(double %less{k})\n"
        yield f"  %total{k} = fadd double {total}, %e{k}\n"
        total = f"%total{k}"
    for k in range(len(sums)):
        yield f"  %score{k} = fdiv double %e{k}, {total}\n"
