"""How quality is measured offline."""

from collections.abc import Mapping

from features.definition.document import Path
from features.definition.model import (
    Evaluation,
    ExcludeKnown,
    Label,
    RecordLabel,
    Task,
    TopK,
)
from features.definition.report import did_you_mean
from features.definition.schema import EvaluationSpec, ExcludeKnownSpec, TopKSpec, UseCase
from features.definition.scope import Scope

METRICS: Mapping[Task, tuple[str, ...]] = {
    "binary": ("roc_auc", "average_precision", "logloss", "accuracy", "f1"),
    "regression": ("rmse", "mae", "bias"),
    "multiclass": ("macro_f1", "accuracy", "micro_f1", "logloss"),
}
"""The metrics of each task; the first two by default."""

DEFAULT_METRICS = 2
TEST_SHARE = 0.25
_PATH: Path = ("evaluation",)


def read_evaluation(raw: UseCase, scope: Scope, label: Label | None) -> Evaluation:
    """The evaluation, with the defaults of the task and the split filled in."""
    spec = raw.evaluation
    if not scope.report.doubts("evaluation"):
        _check_split(spec, scope)
    return Evaluation(
        split=spec.split,
        gap=_gap(spec, scope, label),
        group=_group(spec, scope),
        test_share=TEST_SHARE if spec.test_share is None else spec.test_share,
        rows=spec.rows,
        metrics=_metrics(raw, scope),
        top_k=None if spec.top_k is None else _top_k(spec.top_k, raw, scope),
        exclude_known=None
        if spec.exclude_known is None
        else _exclude_known(spec.exclude_known, raw, scope, label),
    )


def _check_split(spec: EvaluationSpec, scope: Scope) -> None:
    for key, split in (("gap", "time"), ("group", "group"), ("test_share", "group")):
        if getattr(spec, key) is not None and spec.split != split:
            mend = f"write `split: {split}`, or take it out"
            scope.report.add((*_PATH, key), f"only a split by {split} has this", mend, text=key, at_key=True)
    if spec.test_share in (0, 1):
        scope.report.add(
            (*_PATH, "test_share"), "leaves nothing to train on or to test with", "take a share between"
        )


def _gap(spec: EvaluationSpec, scope: Scope, label: Label | None) -> int:
    """The gap of a split by time; by default as long as labels of the training days may be unknown."""
    if spec.split != "time":
        return 0
    if spec.gap is not None:
        return scope.length((*_PATH, "gap"), spec.gap)
    return label.delay if isinstance(label, RecordLabel) else 0


def _group(spec: EvaluationSpec, scope: Scope) -> str | None:
    if spec.split != "group":
        return None
    if spec.group is None:
        return next(iter(scope.entities), None)
    found = scope.entity((*_PATH, "group"), spec.group)
    return found.name if found else None


def _metrics(raw: UseCase, scope: Scope) -> tuple[str, ...]:
    known = METRICS[raw.task]
    if raw.evaluation.metrics is None:
        return known[:DEFAULT_METRICS]
    for i, name in enumerate(raw.evaluation.metrics):
        if name not in known and not scope.report.doubts("task"):
            scope.report.add(
                (*_PATH, "metrics", i), f"no metric of a {raw.task} task", did_you_mean(name, known)
            )
    return tuple(dict.fromkeys(raw.evaluation.metrics))


def _top_k(spec: TopKSpec, raw: UseCase, scope: Scope) -> TopK:
    path: Path = (*_PATH, "top_k")
    _check_binary(path, raw, scope)
    scope.entity((*path, "by"), spec.by)
    per = scope.length((*path, "per"), spec.per)
    if not spec.per.n:
        scope.report.add((*path, "per"), "a period cannot be empty", "write a duration such as 1d")
    if spec.name in METRICS[raw.task]:
        scope.report.add((*path, "name"), "a metric has this name already", "name it otherwise")
    return TopK(spec.name, spec.k, per, spec.by, spec.drop_caught)


def _exclude_known(spec: ExcludeKnownSpec, raw: UseCase, scope: Scope, label: Label | None) -> ExcludeKnown:
    path: Path = (*_PATH, "exclude_known")
    _check_binary(path, raw, scope)
    if label is not None and not isinstance(label, RecordLabel):
        cause = "only labels that come as records of their own become known"
        scope.report.add(path, cause, "take it out", text="exclude_known", at_key=True)
    scope.entity((*path, "entity"), spec.entity)
    return ExcludeKnown(spec.entity, scope.length((*path, "after"), spec.after))


def _check_binary(path: Path, raw: UseCase, scope: Scope) -> None:
    if raw.task != "binary" and not scope.report.doubts("task"):
        name = str(path[-1])
        scope.report.add(path, "only a binary task has positives", "take it out", text=name, at_key=True)
