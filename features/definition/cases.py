"""Rules and decisions: lists of cases of which the first match wins."""

from collections.abc import Sequence

from features.definition.document import Path
from features.definition.model import Decision, Rule
from features.definition.schema import LastDecisionSpec, LastRuleSpec, UseCase
from features.definition.scope import Scope
from features.expression import ColumnType

_SUM_TOLERANCE = 1e-6


def read_rules(raw: UseCase, scope: Scope) -> tuple[Rule, ...]:
    """The fallback model."""
    types = scope.types()
    rules: list[Rule] = []
    for i, case in enumerate(raw.rules):
        path: Path = ("rules", i)
        last = isinstance(case, LastRuleSpec)
        scores = case.otherwise if isinstance(case, LastRuleSpec) else case.score
        _check_scores(raw, scores, (*path, "otherwise" if last else "score"), scope)
        when = (
            None
            if isinstance(case, LastRuleSpec)
            else scope.expression((*path, "when"), case.when, types, "condition")
        )
        rules.append(Rule(when, tuple(scores), case.reason))
    _check_order("rules", [isinstance(case, LastRuleSpec) for case in raw.rules], scope)
    return tuple(rules)


def read_decisions(raw: UseCase, scope: Scope) -> tuple[Decision, ...]:
    """The decisions, over what the model or the rules say, fields and features."""
    types = {**scope.types(), **score_types(raw, scope)}
    decisions: list[Decision] = []
    for i, case in enumerate(raw.decisions):
        if isinstance(case, LastDecisionSpec):
            decisions.append(Decision(None, case.otherwise))
            continue
        when = scope.expression(("decisions", i, "when"), case.when, types, "condition")
        decisions.append(Decision(when, case.decision))
    _check_order("decisions", [isinstance(case, LastDecisionSpec) for case in raw.decisions], scope)
    return tuple(decisions)


def score_types(raw: UseCase, scope: Scope) -> dict[str, ColumnType]:
    """What decisions may read besides fields and features."""
    if scope.report.doubts("task"):
        return {"score": "number", "value": "number", "predicted_class": "string"}
    if raw.task == "binary":
        return {"score": "number"}
    if raw.task == "regression":
        return {"score": "number", "value": "number"}
    classes: Sequence[str] = getattr(raw.label, "classes", ())
    return {**{f"probability_{name}": "number" for name in classes}, "predicted_class": "string"}


def _check_scores(raw: UseCase, scores: Sequence[float], path: Path, scope: Scope) -> None:
    """Whether a rule's score has the form of the task's."""
    report = scope.report
    if report.doubts("task") or report.doubts(*path):
        return
    if raw.task == "multiclass":
        classes: Sequence[str] = getattr(raw.label, "classes", ())
        if report.doubts("label") or len(classes) < 2:
            return
        if len(scores) != len(classes):
            report.add(path, f"there are {len(classes)} classes", "write a list with a probability for each")
        elif min(scores) < 0 or abs(sum(scores) - 1) > _SUM_TOLERANCE:
            report.add(path, "these are not probabilities that sum to 1", "mend the numbers")
    elif len(scores) != 1:
        report.add(path, f"a {raw.task} task has one score", "write one number")
    elif raw.task == "binary" and not 0 <= scores[0] <= 1:
        report.add(path, "a score is a probability", "write a number from 0 to 1")


def _check_order(section: str, is_last: Sequence[bool], scope: Scope) -> None:
    """`otherwise` must be there, once, and last: what stands behind it could never match."""
    report = scope.report
    for i, last in enumerate(is_last[:-1]):
        if last:
            mend = "move it to the end"
            report.add((section, i), "nothing behind this can ever match", mend, text="otherwise")
    if not any(is_last) and not report.doubts(section):
        mend = "end the list with `- {otherwise: …}`"
        report.add(
            (section,), "nothing is said for events that no case matches", mend, text=section, at_key=True
        )
