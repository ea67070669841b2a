"""Rules, decisions, output, evaluation and training: meaning, defaults, refusals."""

# ruff: noqa: E501  a problem is one line, and stands here as people read it

import pytest

from features.definition.model import ExcludeKnown, TopK
from tests.features.definition_texts import CLASSES, REGRESSION, SEQUENCE, problems, read

DAY = 86_400_000


@pytest.mark.parametrize(
    ("sections", "rules", "problem"),
    [
        ({}, "[{otherwise: 1.1}]", "1.1: a score is a probability; write a number from 0 to 1"),
        ({}, "[{otherwise: [0, 1]}]", "[0, 1]: a binary task has one score; write one number"),
        (CLASSES, "[{otherwise: 0.5}]", "0.5: there are 2 classes; write a list with a probability for each"),
        (CLASSES, "[{otherwise: [0.5, 0.6]}]", "[0.5, 0.6]: these are not probabilities that sum to 1; mend the numbers"),
        (REGRESSION, "[{otherwise: [1, 2]}]", "[1, 2]: a regression task has one score; write one number"),
    ],
)  # fmt: skip
def test_a_rules_score_has_the_form_of_the_tasks(sections: dict[str, str], rules: str, problem: str) -> None:
    assert problems(**{**sections, "rules": rules}) == [problem]


def test_rules_read_fields_and_features_and_decisions_the_score_as_well() -> None:
    rules = "[{when: \"price > 2 AND kind = 'a'\", score: 0.5, reason: dear}, {otherwise: 0, reason: none}]"
    definition = read(
        rules=rules, decisions='[{when: "score > 0.5 OR gift", decision: look}, {otherwise: go}]'
    )
    assert [(rule.when and rule.when.text, rule.score, rule.reason) for rule in definition.rules] == [
        ("price > 2 AND kind = 'a'", (0.5,), "dear"),
        (None, (0.0,), "none"),
    ]
    assert [(case.when and case.when.text, case.decision) for case in definition.decisions] == [
        ("score > 0.5 OR gift", "look"),
        (None, "go"),
    ]
    assert problems(rules='[{when: "score > 1", score: 1}, {otherwise: 0}]')[0].startswith(
        "score: no field or feature"
    )


def test_decisions_read_the_value_of_a_regression_and_the_probabilities_of_classes() -> None:
    value = "[{when: value < 20 AND score < 20, decision: stop}, {otherwise: run}]"
    assert not problems(**{**REGRESSION, "decisions": value})
    classes = (
        "[{when: \"probability_small > 0.5 OR predicted_class = 'large'\", decision: look}, {otherwise: go}]"
    )
    assert not problems(**{**CLASSES, "decisions": classes})
    assert problems(decisions=value)[0].startswith("value: no field or feature")


def test_otherwise_must_be_there_and_last() -> None:
    assert problems(rules="[{when: gift, score: 0.5}]", decisions="[{otherwise: a}, {otherwise: b}]") == [
        "rules: nothing is said for events that no case matches; end the list with `- {otherwise: …}`",
        "otherwise: nothing behind this can ever match; move it to the end",
    ]


@pytest.mark.parametrize(
    ("text", "share"),
    [("0.5%", 0.005), ("100%", 1.0), ("0.25", 0.25), ("1", 1.0), ("all", 1.0), ("none", 0.0)],
)
def test_a_share_is_a_percentage_or_a_number(text: str, share: float) -> None:
    assert read(output=f"{{features: {text}}}").output.features == share


@pytest.mark.parametrize("text", ["101%", "-1%", "2", "x%", "nan%", "true", "some", "[0.1]"])
def test_what_is_no_share_is_refused(text: str) -> None:
    assert len(problems(control=text)) == 1


def test_evaluation_takes_its_metrics_from_the_task() -> None:
    assert read().evaluation.metrics == ("roc_auc", "average_precision")
    assert read(**REGRESSION).evaluation.metrics == ("rmse", "mae")
    assert read(**CLASSES).evaluation.metrics == ("macro_f1", "accuracy")
    assert problems(evaluation="{metrics: [mae]}")[0].startswith(
        "mae: no metric of a binary task; choose from"
    )


def test_a_group_split_holds_out_a_share_of_the_topic_entity_by_default() -> None:
    evaluation = read(evaluation="{split: group}").evaluation
    assert (evaluation.split, evaluation.group, evaluation.test_share, evaluation.gap) == (
        "group",
        "buyer",
        0.25,
        0,
    )
    evaluation = read(
        evaluation="{split: group, group: shop, test_share: 10%, rows: last_per_entity}"
    ).evaluation
    assert (evaluation.group, evaluation.test_share, evaluation.rows) == ("shop", 0.1, "last_per_entity")


def test_top_k_and_known_entities_are_read_in_the_time_unit() -> None:
    evaluation = read(
        evaluation="{top_k: {name: p_at_9, k: 9, per: 1d, by: buyer, drop_caught: true}, exclude_known: {entity: shop, after: 2d}}"
    ).evaluation
    assert evaluation.top_k == TopK("p_at_9", 9, DAY, "buyer", True)
    assert evaluation.exclude_known == ExcludeKnown("shop", 2 * DAY)


@pytest.mark.parametrize(
    ("sections", "evaluation", "problem"),
    [
        ({}, "{split: group, gap: 1d}", "gap: only a split by time has this; write `split: time`, or take it out"),
        ({}, "{group: buyer}", "group: only a split by group has this; write `split: group`, or take it out"),
        ({}, "{split: group, test_share: 0}", "0: leaves nothing to train on or to test with; take a share between"),
        ({}, "{split: group, group: byer}", "byer: no such entity; did you mean `buyer`?"),
        ({}, "{top_k: {name: f1, k: 9, per: 1d, by: buyer}}", "f1: a metric has this name already; name it otherwise"),
        ({}, "{top_k: {name: p, k: 9, per: 0d, by: buyer}}", "0d: a period cannot be empty; write a duration such as 1d"),
        (CLASSES, "{exclude_known: {entity: buyer, after: 1d}}", "exclude_known: only a binary task has positives; take it out"),
        (SEQUENCE, "{exclude_known: {entity: pump, after: 1}}", "exclude_known: only labels that come as records of their own become known; take it out"),
    ],
)  # fmt: skip
def test_an_evaluation_that_means_nothing_is_refused(
    sections: dict[str, str], evaluation: str, problem: str
) -> None:
    assert problems(**{**sections, "evaluation": evaluation}) == [problem]


def test_training_takes_lightgbms_names_as_they_are_written() -> None:
    training = read(
        training="{rounds: 50, parameters: {eta: 0.1, reg_lambda: 1, extra_trees: true, mc: [1]}}"
    ).training
    assert training.rounds == 50
    assert training.parameters == {"eta": 0.1, "reg_lambda": 1, "extra_trees": True, "mc": [1]}


@pytest.mark.parametrize(
    ("parameters", "problem"),
    [
        ("objective: binary", "objective: this is not for the use case to set: it follows from the task; take it out"),
        ("n_jobs: 4", "n_jobs: this is not for the use case to set: training sets it, so that it repeats; take it out"),
        ("random_state: 4", "random_state: this is not for the use case to set: training sets it, so that it repeats; take it out"),
        ("verbose: 1", "verbose: this is not for the use case to set: training tells its progress itself; take it out"),
        ("n_estimators: 4", "n_estimators: this is not for the use case to set: it is `rounds`, beside `parameters`; take it out"),
        ("learning_rat: 4", "learning_rat: no such parameter of LightGBM's; did you mean `learning_rate`?"),
        ("metric: auc", "metric: this is not for the use case to set: it is `evaluation.metrics`; take it out"),
        ("eta: 0.1, learning_rate: 0.2", "learning_rate: it means the same as `eta`; take one of the two out"),
        ("max_depth: {a: 1}", "{a: …}: not a value of a parameter; write a number, true, false, a word, or a list of whole numbers"),
    ],
)  # fmt: skip
def test_parameters_that_are_ours_or_unknown_are_refused_by_name(parameters: str, problem: str) -> None:
    assert problems(training=f"{{parameters: {{{parameters}}}}}") == [problem]
