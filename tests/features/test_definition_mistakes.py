"""Every mistake of a file is told at once, each where it stands, none because of another."""

import re

import pytest

from features.definition import DefinitionError, definition_from_data, parse_definition
from tests.features.definition_texts import problems, problems_of, read, text_of

MANY_MISTAKES = """
name: Fraud-Detection                                        #1 7 Fraud-Detection: not a name
task: binary
event:
  id: [transaction_id, amount]                               #2 24 amount: a float64 cannot be part of a key
  time: {field: event_time, unit: ms}
  timezone: Europe/Pariss                                    #3 13 Europe/Pariss: no such time zone
  score_when: amount > > 3                                   #4 22 > > 3:
  fields:
    transaction_id: string
    event_time: timestamp
    customer_id: {type: string, personnal: true}             #5 33 personnal: no such key here
    terminal_id: string
    amount: float64
    speed: {type: flaot64}                                   #6 19 flaot64: not one of the values
    hour: {type: int64, min: 24, max: 0}                     #7 30 24: min is larger than max
    note: {type: string, min: 1}                             #8 26 min: a string has no range
    note: string                                             #9 5 note: the key stands here twice
entities:
  customer: customer_id
  terminal: terminal                                         #10 13 terminal: no such field
label: {field: is_fraud, delay: one week}                    #11 33 one week: not a length of time
features:
  - fields: [amount, note]                                   #12 22 note: a string cannot be a feature
  - {name: ratio, sql: 'hour / * 2'}                         #13 32 *
  - {name: later, sql: "hours > 3"}                          #14 25 hours: no field or feature has this name
  - {name: quick, sql: "speed > 3"}
  - window: {entity: custommer, spans: [1d], aggregates: [count]}  #15 22 custommer: no such entity
  - window: {entity: customer, spans: [1d, 7], aggregates: [count]}  #16 44 7: a number without a unit
  - window:
      entity: terminal
      spans: [300 events, 5 days]                            #17 15 300 events: a window holds at most 256 | #18 27 5 days: not the span
      aggregates: [cuont, mean, max(note), sum(hour)]        #19 20 cuont: no such aggregate | #20 27 mean: mean of what? | #21 33 note: max of a string
  - lookup: {entity: customer}                               #22 5 lookup: `fields` is missing
  - lookup: {entity: customer, fields: [limit], max_age: 3}  #23 58 3: not a duration of the clock
  - lookup: {entity: customer, fields: {segment: string, limit: float64}}  #24 58 customer_limit: the feature is there already
  - {name: rich, sql: "customer_segment = 'gold'"}           #25 24 customer_segment: a text that is looked up
  - categories: [terminal_id, hour, mood]                    #26 31 hour: only a string can be a category | #27 37 mood: no such field
  - look: {entity: customer}                                 #28 5 {look: …}: no kind of feature
rules:
  - {when: "amount > 220", score: 1.5}                       #29 35 1.5: a score is a probability
  - {when: "terminal_sum_hour_1d > 3 AND huor > 2", score: 0.5}  #30 42 huor: no field or feature
  - {when: "hour", score: 0.5, reason: it is late}           #31 12 hour: this gives a number | #32 40 it is late: not a name
decisions:
  - {otherwise: approve}                                     #33 5 otherwise: nothing behind this can ever match
  - {when: "score >= '0.9'", decision: decline}              #34 22 '0.9': this is a string
control: 150%                                                #35 10 150%: not a share
training:
  rounds: many                                               #36 11 many: a text stands where a whole number is expected
  parameters: {objective: binary, num_leafs: 3}              #37 16 objective: this is not for the use case | #38 35 num_leafs: no such parameter
evaluation: {metrics: [rmse], test_share: 20%}               #39 24 rmse: no metric of a binary task | #40 31 test_share: only a split by group
output: {include: [amounts]}                                 #41 20 amounts: no such field
lable: {}                                                    #42 1 lable: no such key here
"""  # noqa: E501  each line says beside itself what is wrong with it


def test_all_mistakes_of_a_file_are_told_at_once_with_their_places() -> None:
    expected = [
        (line, int(column), start)
        for line, text in enumerate(MANY_MISTAKES.splitlines(), 1)
        for column, start in re.findall(r"#\d+ (\d+) ([^|]*[^| ])", text)
    ]
    assert len(expected) == 42
    found = problems_of(MANY_MISTAKES)
    for (line, column, start), problem in zip(expected, found, strict=True):
        assert str(problem).startswith(f"f:{line}:{column}: {start}")
        assert problem.mend


def test_a_problem_is_one_line_of_place_text_cause_and_mend() -> None:
    with pytest.raises(DefinitionError) as caught:
        parse_definition(text_of(task="binry"), "dir/orders.yaml")
    line = "dir/orders.yaml:2:7: binry: not one of the values this can have; did you mean `binary`?"
    assert str(caught.value) == line
    assert str(caught.value.problems[0]) == line


def test_the_place_of_a_problem_in_plain_data_is_its_path() -> None:
    data = {**read().source, "control": 7}
    with pytest.raises(DefinitionError) as caught:
        definition_from_data(data, "definition.json")
    assert caught.value.problems[0].place == "definition.json:$.control"


@pytest.mark.parametrize("section", ["name", "task", "event", "entities", "features", "rules", "decisions"])
def test_a_missing_section_is_the_only_problem_it_makes(section: str) -> None:
    found = problems(**{section: None})
    assert len(found) == 1
    assert f"`{section}` is missing; add `{section}: " in found[0]


@pytest.mark.parametrize(
    ("section", "text"),
    [
        ("task", "cluster"),
        ("event", "{id: a}"),
        ("entities", "{}"),
        ("features", "[]"),
        ("features", "all"),
        ("rules", "[{score: 0.1}]"),
        ("decisions", "[{otherwise: [a]}]"),
        ("label", "7d"),
    ],
)
def test_a_section_of_the_wrong_form_makes_no_problem_elsewhere(section: str, text: str) -> None:
    use = {"rules": '[{when: "buyer_count_1d > 3 AND price > 2", score: 0.2}, {otherwise: 0}]'}
    features = "[{fields: [price]}, {window: {entity: buyer, spans: [1d], aggregates: [count, mean(label)]}}]"
    text_of_all = text_of(**{"features": features, **use, section: text})
    line = next(i for i, part in enumerate(text_of_all.splitlines(), 1) if part.startswith(f"{section}:"))
    found = problems_of(text_of_all)
    assert found
    assert {problem.place.split(":")[1] for problem in found} == {str(line)}


def test_a_name_that_a_broken_window_may_define_is_not_called_unknown() -> None:
    features = "[{window: {entity: buyer, spans: [1 d], aggregates: [count]}}]"
    rules = '[{when: "buyer_count_1d > 3", score: 1}, {when: "shop_count_1d > 3", score: 1}, {otherwise: 0}]'
    found = problems(features=features, rules=rules)
    assert [problem.split(":")[0] for problem in found] == ["1 d", "shop_count_1d"]


def test_a_missing_key_is_shown_with_an_example() -> None:
    found = problems(label="{delay: 7d}")
    assert found == ["label: `field` is missing; add `field: is_fraud`"]


def test_the_same_mistake_at_the_same_place_is_told_once() -> None:
    found = problems(
        features="[{window: {entity: buyer, spans: [1d], of: [prise], aggregates: [mean, min, max]}}]"
    )
    assert found == ["prise: no such field; did you mean `price`?"]


@pytest.mark.parametrize("text", ["- a\n- b\n", "just words", "12"])
def test_a_file_that_is_no_mapping_is_refused_as_a_whole(text: str) -> None:
    assert [problem.cause for problem in problems_of(text)] == ["a use case is a mapping"]


def test_very_many_mistakes_of_form_are_all_told() -> None:
    assert len(problems(features="[" + "x, " * 500 + "]")) == 500


def test_null_stands_for_a_key_that_is_not_there() -> None:
    assert read(label="null").label is None
