"""Fingerprints and the reader under any layout, any change and any damage of a file."""

# ruff: noqa: E501  strategies are tables

import copy
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from features.definition import Definition, DefinitionError, Problem, definition_from_data, parse_definition
from features.definition.lengths import MS, parse_length

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
TEXTS = [path.read_text(encoding="utf-8") for path in sorted(EXAMPLES.glob("*/*.yaml"))]
FRAUD = (EXAMPLES / "fraud" / "usecase.yaml").read_text(encoding="utf-8")
ORDERED = {"entities"}
"""Mappings whose order has a meaning: the first entity is the key of the topic."""


def source(text: str) -> dict[str, Any]:
    return copy.deepcopy(dict(parse_definition(text, "f").source))


@st.composite
def laid_out_otherwise(draw: st.DrawFn, text: str) -> str:
    """The same use case: keys in another order, other indentation and quotes, blank lines and comments."""

    def shuffled(value: Any, name: str = "") -> Any:
        if isinstance(value, list):
            return [shuffled(item) for item in value]
        if not isinstance(value, dict):
            return value
        keys = list(value) if name in ORDERED else draw(st.permutations(list(value)))
        return {key: shuffled(value[key], key) for key in keys}

    text = yaml.safe_dump(
        shuffled(source(text)),
        sort_keys=False,
        width=10_000,
        indent=draw(st.sampled_from([2, 4, 7])),
        default_flow_style=draw(st.sampled_from([False, None])),
    )
    between = draw(st.lists(st.sampled_from(["", "# a comment", "   # another"]), min_size=1, max_size=5))
    lines = text.splitlines()
    return "\n".join(f"{line}\n{between[i % len(between)]}" for i, line in enumerate(lines))


@given(data=st.data(), text=st.sampled_from(TEXTS))
@settings(max_examples=30, deadline=None)
def test_layout_comments_and_the_order_of_keys_leave_all_fingerprints(data: st.DataObject, text: str) -> None:
    again = parse_definition(data.draw(laid_out_otherwise(text)), "g")
    first = parse_definition(text, "f")
    assert again.fingerprints == first.fingerprints
    assert again.feature_names == first.feature_names


def mistakes(reading: Callable[[], Definition]) -> Sequence[Problem]:
    """What a file is refused for; empty where it is read."""
    try:
        reading()
    except DefinitionError as error:
        return error.problems or [Problem("nowhere", "", "refused without a problem", "")]
    return []


def changed(before: Definition, after: Definition) -> set[str]:
    names = ("state", "features", "policy")
    return {name for name in names if getattr(before.fingerprints, name) != getattr(after.fingerprints, name)}


@given(threshold=st.integers(0, 10**6), score=st.floats(0, 1), control=st.floats(0, 1))
@settings(max_examples=30, deadline=None)
def test_another_rule_or_control_share_changes_the_policy_alone(
    threshold: int, score: float, control: float
) -> None:
    plain = source(FRAUD)
    plain["rules"].insert(1, {"when": f"amount > {threshold}", "score": score})
    plain["control"] = control
    assert changed(parse_definition(FRAUD, "f"), definition_from_data(plain, "g")) == {"policy"}


_FREE_FEATURES = st.one_of(
    st.integers(1, 30 * 24).map(
        lambda h: {"window": {"entity": "customer", "spans": [f"{h}h"], "aggregates": ["sum(amount)", "std(amount)"]}}
    ),
    st.integers(1, 60).map(
        lambda d: {"window": {"entity": "terminal", "spans": ["2d"], "delay": f"{d * 5}h", "aggregates": ["count(label)"]}}
    ),
    st.integers(1, 256).map(
        lambda n: {"window": {"entity": "terminal", "spans": [f"{n} events"], "aggregates": ["count"]}}
    ),
    st.integers().map(lambda n: {"name": "over", "sql": f"amount / NULLIF(customer_mean_amount_7d, 0) > {n}"}),
)  # fmt: skip


@given(feature=_FREE_FEATURES)
@settings(max_examples=40, deadline=None)
def test_a_feature_over_what_rows_hold_already_changes_the_features_alone(feature: dict[str, Any]) -> None:
    plain = source(FRAUD)
    plain["features"].append(feature)
    assert changed(parse_definition(FRAUD, "f"), definition_from_data(plain, "g")) == {"features"}


@given(text=st.sampled_from(TEXTS))
@settings(max_examples=5, deadline=None)
def test_the_source_of_a_definition_gives_it_again_also_through_json(text: str) -> None:
    definition = parse_definition(text, "f")
    assert definition_from_data(definition.source, "g") == definition
    assert definition_from_data(json.loads(json.dumps(definition.source)), "g") == definition


_SCRAPS = st.sampled_from(
    ["", "\t", "{", "}", "[", "]", ": ", "- ", "'", '"', "&a ", "*a", "!!x ", "\n", "#", "|", "é", "\0"]
)


@given(
    text=st.sampled_from(TEXTS),
    wounds=st.lists(st.tuples(st.floats(0, 1), st.integers(0, 4), _SCRAPS), max_size=5),
)
@settings(max_examples=60, deadline=None)
def test_any_damage_to_a_file_is_told_with_a_place_in_it(
    text: str, wounds: list[tuple[float, int, str]]
) -> None:
    for share, length, scrap in wounds:
        at = int(share * len(text))
        text = text[:at] + scrap + text[at + length :]
    for problem in mistakes(lambda: parse_definition(text, "f")):
        name, line, column = problem.place.split(":")
        assert name == "f"
        assert 1 <= int(line) <= text.count("\n") + 2
        assert int(column) >= 1
        assert "\n" not in str(problem)


_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.sampled_from(["", "7d", "30 events", "amount", "label", "all", "a b", "é"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(["name", "field", "when", "x"]), inner, max_size=3),
    max_leaves=5,
)  # fmt: skip


@given(data=st.data(), text=st.sampled_from(TEXTS), values=st.lists(_VALUES, min_size=1, max_size=4))
@settings(max_examples=80, deadline=None)
def test_any_value_anywhere_is_read_or_told_and_never_crashes(
    data: st.DataObject, text: str, values: list[Any]
) -> None:
    plain: Any = source(text)
    for value in values:
        holder, key = plain, data.draw(st.sampled_from(sorted(plain)))
        while isinstance(holder[key], dict | list) and holder[key] and data.draw(st.booleans()):
            holder = holder[key]
            keys = sorted(holder) if isinstance(holder, dict) else range(len(holder))
            key = data.draw(st.sampled_from(keys))
        holder[key] = value
    found = mistakes(lambda: definition_from_data(plain, "f"))
    assert all(problem.place.startswith("f:$") for problem in found)


@given(n=st.integers(0, 10**6), unit=st.sampled_from(sorted(MS)))
def test_a_duration_is_its_number_of_milliseconds(n: int, unit: str) -> None:
    length = parse_length(f"{n}{unit}")
    assert length is not None
    assert (length.kind, length.n, length.text) == ("clock", n * MS[unit], f"{n}{unit}")


@given(text=st.text(max_size=8))
def test_what_is_no_length_is_none_and_what_is_one_is_written_in_one_way(text: str) -> None:
    length = parse_length(text)
    if length is not None:
        assert length.text == text or length.text.replace("_events", "") == text.split(maxsplit=1)[0]
